//! A private authority, and both ends of TLS.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

/// An authority whose key only this process knows.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// When certificates of servers are valid; `None` means always.
    valid: Option<Range<SystemTime>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Creates an authority with a new key.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(parameters, key), valid: None }
    }

    /// Limits the validity of the certificates that it issues to servers to this time.
    #[must_use]
    pub fn valid(self, times: Range<SystemTime>) -> Self {
        Self { valid: Some(times), ..self }
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The TLS configuration of a server called `host`.
    pub(super) fn server(&self, host: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new([host.to_owned()]).expect("the name of a host");
        parameters.use_authority_key_identifier_extension = true;
        if let Some(Range { start, end }) = self.valid {
            (parameters.not_before, parameters.not_after) = (start.into(), end.into());
        }
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has every version")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("a certificate of this key");
        Arc::new(config)
    }
}

/// A TLS client for `host` that trusts the certificates in a PEM file.
pub(super) fn client(host: &str, trusted: &Path) -> io::Result<ClientConnection> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(trusted).map_err(io::Error::other)?;
    roots.add_parsable_certificates(certificates.flatten());
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}
