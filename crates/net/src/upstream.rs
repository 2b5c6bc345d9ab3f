//! TLS towards the world, with the authorities that the host trusts.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8PathBuf;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::name::HostName;

/// The trusted authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that the host trusts, which respects `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    OfHost,
    /// Those of a PEM file.
    File(Utf8PathBuf),
}

/// Opens TLS connections to hosts of the world.
pub(crate) struct Upstream {
    trust: Trust,
    /// Created at the first connection.
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Upstream {
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust, config: Mutex::default() }
    }

    /// A connection to a server of this name.
    pub(crate) fn client(&self, host: &HostName) -> io::Result<ClientConnection> {
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(io::Error::other)?;
        ClientConnection::new(self.config()?, name).map_err(io::Error::other)
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*config {
            return Ok(Arc::clone(config));
        }
        let mut made = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        made.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(config.insert(Arc::new(made))))
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.trust {
            // Skip a certificate that cannot be parsed: only hosts that depend on it are refused.
            Trust::OfHost => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            Trust::File(path) => {
                let all = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
                roots.add_parsable_certificates(all.flatten())
            }
        };
        if roots.is_empty() {
            return Err(io::Error::other(
                "the host trusts no authority; install ca-certificates, or set SSL_CERT_FILE",
            ));
        }
        Ok(roots)
    }
}
