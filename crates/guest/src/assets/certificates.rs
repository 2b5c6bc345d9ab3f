//! Additional authorities that the guest trusts. The base adds them to its own store; these files are for programs that
//! do not use it.

use super::GuestFile;
use crate::config::GuestConfig;
use crate::features::DESKTOP;

/// All additional authorities, as PEM.
pub const PEM: &str = "/etc/rave/certificates.pem";

/// The public authorities and the additional ones, as both bases write them: ca-certificates on Debian, `security.pki`
/// on NixOS.
pub const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Chromium uses the user's NSS database and its policies, not the store. The policy exists since Chromium 131.
const POLICY: &str = "/etc/chromium/policies/managed/rave-certificates.json";

/// An additional authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCertificate {
    /// Its file name in the base's folder of additional certificates: its digest, ending in `.crt`.
    pub file_name: String,
    /// PEM (RFC 7468), with a final newline.
    pub pem: String,
    /// The base64 of the PEM on one line.
    pub base64: String,
}

/// The files for programs that do not use the base's store.
pub fn certificates(config: &GuestConfig, all: &[TrustedCertificate]) -> Vec<GuestFile> {
    if all.is_empty() {
        return Vec::new();
    }
    let pem: String = all.iter().map(|certificate| certificate.pem.as_str()).collect();
    let mut files = vec![GuestFile::file(PEM, 0o644, pem)];
    if config.has(DESKTOP) {
        let base64: Vec<&str> = all.iter().map(|certificate| certificate.base64.as_str()).collect();
        let policy = serde_json::json!({ "CACertificates": base64 });
        files.push(GuestFile::file(POLICY, 0o644, format!("{policy}\n")));
    }
    files
}

/// Variables for Node.js, which adds the certificates to its own, and for programs that use another store instead of
/// their own: OpenSSL in programs from elsewhere, and Python's `requests`, which pip contains.
pub(super) fn variables() -> [(&'static str, String); 3] {
    [
        ("NODE_EXTRA_CA_CERTS", PEM.to_owned()),
        ("SSL_CERT_FILE", STORE.to_owned()),
        ("REQUESTS_CA_BUNDLE", STORE.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [TrustedCertificate; 2] {
        ["MAA=", "MAE="].map(|base64| TrustedCertificate {
            file_name: format!("{base64}.crt"),
            pem: format!("{base64}\n"),
            base64: base64.into(),
        })
    }

    #[test]
    fn desktops_have_a_chromium_policy() {
        let config = GuestConfig::default();
        assert_eq!(certificates(&config, &[]), []);
        let files = certificates(&config, &all());
        assert_eq!(files, [GuestFile::file(PEM, 0o644, "MAA=\nMAE=\n")]);
        let desktop = GuestConfig { features: [DESKTOP.to_owned()].into(), ..config };
        let files = certificates(&desktop, &all());
        assert_eq!(files[1], GuestFile::file(POLICY, 0o644, "{\"CACertificates\":[\"MAA=\",\"MAE=\"]}\n"));
    }
}
