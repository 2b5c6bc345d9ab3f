//! The authorities that the guest trusts besides the public ones. The base puts them into its own store; these files are for
//! programs that do not read it.

use super::GuestFile;
use crate::config::GuestConfig;
use crate::features::DESKTOP;

/// All of them, in PEM.
pub const PEM: &str = "/etc/rave/certificates.pem";

/// The public authorities and these, as either base writes them: ca-certificates on Debian, `security.pki` on NixOS.
pub const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Chromium reads the user's NSS database and its policies, not the store. The policy is there since Chromium 131.
const POLICY: &str = "/etc/chromium/policies/managed/rave-certificates.json";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCertificate {
    /// Its file's name in the base's folder of further certificates: by its digest, ending in `.crt`.
    pub file_name: String,
    /// PEM (RFC 7468), with a final newline.
    pub pem: String,
    /// The base64 in it, on one line.
    pub base64: String,
}

/// The files for programs that do not read the base's store.
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

/// Variables for Node.js, which adds the file's certificates to its own, and for what takes another store in place of its
/// own: OpenSSL in programs that were built elsewhere, and Python's `requests`, which pip contains.
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
    fn chromium_gets_a_policy_where_there_is_a_desktop() {
        let config = GuestConfig::default();
        assert_eq!(certificates(&config, &[]), []);
        let files = certificates(&config, &all());
        assert_eq!(files, [GuestFile::file(PEM, 0o644, "MAA=\nMAE=\n")]);
        let desktop = GuestConfig { features: [DESKTOP.to_owned()].into(), ..config };
        let files = certificates(&desktop, &all());
        assert_eq!(files[1], GuestFile::file(POLICY, 0o644, "{\"CACertificates\":[\"MAA=\",\"MAE=\"]}\n"));
    }
}
