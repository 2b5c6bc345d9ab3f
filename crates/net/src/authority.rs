//! The certificate authority of one sandbox. It is only valid for the hosts whose TLS is inspected.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SerialNumber, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::name::{HostName, NamePattern};

/// How far a certificate's validity starts in the past: the guest's clock may be slow.
const BEFORE: Duration = Duration::from_secs(24 * 3600);
/// How long the authority's certificate is valid: longer than any sandbox lives.
const AUTHORITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long a host's certificate is valid, and the age at which it is replaced. Clients accept at most 398 days.
const HOST: Duration = Duration::from_secs(30 * 24 * 3600);
const RENEW: Duration = Duration::from_secs(15 * 24 * 3600);
/// The largest number of hosts whose certificates are cached.
const MOST: usize = 1024;

/// The authority's name in the guest.
const NAME: &str = "RAVE: authority of this sandbox";
/// The file name of its key.
pub const KEY_FILE: &str = "authority-key.pem";
const CERTIFICATE_FILE: &str = "authority.json";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A certificate authority whose files are in a folder.
pub(crate) struct Authority {
    folder: Utf8PathBuf,
    key: KeyPair,
    issued: Issued,
    /// The key that all hosts' certificates share.
    host_key: KeyPair,
    hosts: Mutex<HashMap<HostName, (SystemTime, Arc<ServerConfig>)>>,
}

/// The authority's certificate, and the names it is valid for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Issued {
    /// The certificate is valid for these names and those below them.
    names: Vec<HostName>,
    pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority of a folder for these names. Its key is created once, its certificate whenever the names
    /// change.
    pub(crate) fn open(folder: &Utf8Path, names: &[NamePattern]) -> io::Result<Self> {
        let key = key(&folder.join(KEY_FILE))?;
        let mut names: Vec<HostName> = names.iter().map(|pattern| pattern.name().clone()).collect();
        names.sort();
        names.dedup();
        let path = folder.join(CERTIFICATE_FILE);
        let known = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Issued>(&bytes).ok());
        let issued = if let Some(issued) = known.filter(|issued| issued.names == names) {
            issued
        } else {
            let mut parameters = parameters(&names);
            parameters.serial_number = Some(serial()?);
            let pem = parameters.self_signed(&key).map_err(io::Error::other)?.pem();
            let issued = Issued { names, pem };
            Replace::new(&path).mode(0o600).write(serde_json::to_vec(&issued)?)?;
            issued
        };
        let host_key = KeyPair::generate().map_err(io::Error::other)?;
        Ok(Self { folder: folder.to_owned(), key, issued, host_key, hosts: Mutex::default() })
    }

    /// The certificate, as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.issued.pem
    }

    /// The TLS configuration for serving a host of this name.
    pub(crate) fn server(&self, host: &HostName) -> io::Result<Arc<ServerConfig>> {
        let now = SystemTime::now();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, config)) = hosts.get(host)
            && now.duration_since(*made).is_ok_and(|age| age < RENEW)
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(host).map_err(io::Error::other)?);
        if hosts.len() >= MOST {
            hosts.clear();
        }
        hosts.insert(host.clone(), (now, Arc::clone(&config)));
        Ok(config)
    }

    /// Issues a host's certificate.
    fn certificate(&self, host: &HostName) -> Result<CertificateDer<'static>, Failure> {
        let mut leaf = CertificateParams::new([host.as_str().to_owned()])?;
        let start = start();
        leaf.not_before = date_time_ymd(1970, 1, 1) + start;
        leaf.not_after = date_time_ymd(1970, 1, 1) + start + HOST;
        leaf.serial_number = Some(serial()?);
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let authority = parameters(&self.issued.names);
        let certificate = leaf.signed_by(&self.host_key, &Issuer::from_params(&authority, &self.key))?;
        Ok(certificate.der().clone())
    }

    fn make(&self, host: &HostName) -> Result<ServerConfig, Failure> {
        let key = PrivatePkcs8KeyDer::from(self.host_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate(host)?], key.into())?;
        // Requests of HTTP/2 cannot be checked; clients fall back to HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn key(path: &Utf8Path) -> io::Result<KeyPair> {
    match fs::read_to_string(path) {
        Ok(pem) => return KeyPair::from_pem(&pem).map_err(io::Error::other),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let key = KeyPair::generate().map_err(io::Error::other)?;
    Replace::new(path).mode(0o600).write(key.serialize_pem())?;
    Ok(key)
}

fn parameters(names: &[HostName]) -> CertificateParams {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = rcgen::DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, NAME);
    authority.not_before = date_time_ymd(1970, 1, 1) + start();
    authority.not_after = authority.not_before + AUTHORITY;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // A name includes all names below it (RFC 5280, 4.2.1.10); a kind of name that is not listed is not limited.
    let permitted = names.iter().map(|name| GeneralSubtree::DnsName(name.as_str().to_owned())).collect();
    let excluded = vec![
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv4Addr::UNSPECIFIED.into(), 0)),
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv6Addr::UNSPECIFIED.into(), 0)),
    ];
    authority.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
    authority
}

/// A unique serial number (RFC 5280, 4.1.2.2). The default would be the digest of the key, which all hosts share, and
/// clients refuse two certificates with the same number.
fn serial() -> io::Result<SerialNumber> {
    let mut bytes = [0; 16];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no random bytes"))?;
    // Positive, and with no leading zero byte.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The start of validity for a new certificate, as time since 1970.
fn start() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(now.as_secs()).saturating_sub(BEFORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<NamePattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_key_is_kept_and_private_and_the_certificate_follows_the_names() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let first = Authority::open(folder, &names(&["a.example", "*.b.example"])).unwrap();
        let again = Authority::open(folder, &names(&["*.b.example", "a.example"])).unwrap();
        let other = Authority::open(folder, &names(&["a.example"])).unwrap();
        assert_eq!(first.pem(), again.pem());
        assert_ne!(first.pem(), other.pem());
        assert_eq!(first.key.serialize_pem(), other.key.serialize_pem());
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn certificate_serial_numbers_are_unique() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let authority = Authority::open(folder, &names(&["a.example", "b.example"])).unwrap();
        // `version [0] INTEGER 2`, followed by the number as an INTEGER of 16 bytes (RFC 5280, 4.1).
        let number = |host: &str| {
            let der = authority.certificate(&host.parse().unwrap()).unwrap();
            let at = der.windows(7).position(|bytes| bytes == [0xa0, 3, 2, 1, 2, 2, 16]).unwrap() + 7;
            der[at..at + 16].to_vec()
        };
        let numbers = [number("a.example"), number("b.example"), number("a.example")];
        assert!(numbers[0] != numbers[1] && numbers[0] != numbers[2], "{numbers:x?}");
        assert!(numbers.iter().all(|number| number[0] & 0x80 == 0), "they are positive");
    }
}
