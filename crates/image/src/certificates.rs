//! The certificates of `guest.certificates`: read, checked and normalised, so that comments and line breaks in their
//! files do not change an image.

use std::fs::File;
use std::io::Read as _;

use base64ct::{Base64, Encoding as _};
use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::assets::TrustedCertificate;

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// Maximum size of a file, bytes: the list of all public authorities takes a fifth of this.
const LIMIT: u64 = 1 << 20;

/// The label of a certificate (RFC 7468, section 5.1).
const LABEL: &str = "CERTIFICATE";

/// Characters of a line (RFC 7468, section 2).
const LINE: usize = 64;

/// Certificates of authorities that a guest trusts, each once, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates(pub(crate) Vec<TrustedCertificate>);

impl Certificates {
    /// Reads files below the folder `root`.
    pub fn read(root: &Utf8Path, files: &[Utf8PathBuf]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for file in files {
            let refused = |detail| Error::Input { what: format!("guest.certificates: {file}"), detail };
            for certificate in parse(&text(&root.join(file)).map_err(refused)?).map_err(refused)? {
                if !all.contains(&certificate) {
                    all.push(certificate);
                }
            }
        }
        Ok(Self(all))
    }

    /// All of them.
    pub fn all(&self) -> &[TrustedCertificate] {
        &self.0
    }

    /// Writes each certificate into a separate, world-readable file: update-ca-certificates(8) expects one per file.
    pub(crate) fn write(&self, folder: &Utf8Path) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir(folder).at("create", folder)?;
        let open = |path: &Utf8Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).at("open to others", path)
        };
        open(folder, 0o755)?;
        self.0.iter().try_for_each(|certificate| {
            let path = folder.join(&certificate.file_name);
            std::fs::write(&path, &certificate.pem).at("write", &path)?;
            open(&path, 0o644)
        })
    }
}

fn text(path: &Utf8Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read {path}: {error}");
    let file = File::open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(format!("{path} is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it is larger than {} KiB: name only the authorities of your own", LIMIT >> 10));
    }
    let begins = bytes.first() == Some(&SEQUENCE);
    String::from_utf8(bytes).ok().filter(|_| !begins).ok_or_else(|| {
        format!("it is not PEM; `openssl x509 -inform der -in {path} -out NAME.pem` makes PEM of a certificate in DER")
    })
}

/// The blocks of a file; text around them is a comment (RFC 7468, section 5.2).
fn parse(text: &str) -> Result<Vec<TrustedCertificate>, String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for (number, line) in text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate() {
        let number = number + 1;
        let label = |start| line.strip_prefix(start).and_then(|rest: &str| rest.strip_suffix("-----"));
        if let Some(label) = label("-----BEGIN ") {
            if label.contains("PRIVATE KEY") {
                return Err(format!(
                    "it holds a private key (line {number}), which must not be in an image: leave only the certificates"
                ));
            }
            if label != LABEL || block.is_some() {
                return Err(format!("line {number} begins a {label}; only whole certificates may be in it"));
            }
            block = Some(String::new());
        } else if label("-----END ").is_some() {
            let base64 = block.take().ok_or_else(|| format!("line {number} ends what did not begin"))?;
            found.push(certificate(&base64).ok_or_else(|| {
                format!("the certificate that ends on line {number} is damaged: export it again")
            })?);
        } else if let Some(block) = &mut block {
            block.push_str(line);
        }
    }
    match block {
        Some(_) => Err("its last certificate has no end: copy the whole file".into()),
        None if found.is_empty() => {
            Err("there is no certificate in it: `-----BEGIN CERTIFICATE-----`".into())
        }
        None => Ok(found),
    }
}

/// The tag of a SEQUENCE (X.690, section 8.9), which a certificate is (RFC 5280, section 4.1).
const SEQUENCE: u8 = 0x30;

fn certificate(base64: &str) -> Option<TrustedCertificate> {
    let der = Base64::decode_vec(base64).ok().filter(|der| is_complete(der))?;
    let base64 = Base64::encode_string(&der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(LINE).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    Some(TrustedCertificate {
        file_name: format!("rave-{}.crt", &Digest::of_bytes(&der).to_string()[..16]),
        pem: format!("-----BEGIN {LABEL}-----\n{}\n-----END {LABEL}-----\n", lines.join("\n")),
        base64,
    })
}

/// Whether it is a single SEQUENCE of the length that it declares (X.690, section 8.1.3).
fn is_complete(der: &[u8]) -> bool {
    let [SEQUENCE, first, rest @ ..] = der else { return false };
    let (octets, content) = match usize::from(*first) {
        short @ ..=0x7f => return rest.len() == short,
        long @ 0x81..=0x84 => match rest.split_at_checked(long - 0x80) {
            Some(split) => split,
            None => return false,
        },
        _ => return false,
    };
    octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)) == content.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SEQUENCE of an OCTET STRING: this module accepts it as a certificate.
    fn pem(byte: u8) -> String {
        let der = [[SEQUENCE, 0x81, 0x84, 4, 0x81, 0x81].as_slice(), &[byte; 0x81]].concat();
        certificate(&Base64::encode_string(&der)).unwrap().pem
    }

    fn read(text: &str) -> Result<Certificates, String> {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(folder.join("ca.pem"), text).unwrap();
        Certificates::read(folder, &["ca.pem".into()]).map_err(|error| error.to_string())
    }

    #[test]
    fn comments_line_breaks_and_duplicates_change_nothing() {
        let plain = read(&(pem(1) + &pem(2))).unwrap();
        let other = format!("\u{feff}{}\n# Corp\nsubject=CN = Corp\n{}{}", pem(1), pem(2), pem(1));
        assert_eq!(read(&other.replace('\n', "\r\n")).unwrap(), plain);
        let names: Vec<&str> = plain.all().iter().map(|certificate| certificate.file_name.as_str()).collect();
        assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
        assert!(plain.all()[0].pem.lines().all(|line| line.len() <= LINE));
    }

    #[test]
    fn non_certificates_are_refused_by_name() {
        let whole = pem(1);
        for (text, expected) in [
            (String::new(), "there is no certificate in it"),
            (
                format!("{whole}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                "holds a private key (line 6)",
            ),
            ("-----BEGIN EC PRIVATE KEY-----\n".into(), "holds a private key (line 1)"),
            (whole.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "line 1 begins a TRUSTED CERTIFICATE"),
            (whole.replace("CERTIFICATE", "X509 CRL"), "line 1 begins a X509 CRL"),
            (whole.replace("AQEB", "AQE"), "is damaged"),
            (whole.replace("AQEBAQEBAQEB", ""), "is damaged"),
            (whole.lines().take(3).collect::<Vec<_>>().join("\n"), "has no end"),
            (format!("{whole}-----END CERTIFICATE-----\n"), "line 6 ends what did not begin"),
            ("0\u{82}".into(), "it is not PEM; `openssl x509 -inform der"),
            (whole.repeat(1 << 13), "larger than 1024 KiB"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with("guest.certificates: ca.pem: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn missing_files_and_folders_are_named() {
        let read = |name: &str| Certificates::read("/".into(), &[name.into()]).unwrap_err().to_string();
        assert!(
            read("nowhere.pem").contains("cannot read /nowhere.pem: No such file"),
            "{}",
            read("nowhere.pem")
        );
        assert!(read("etc").contains("/etc is not a file"), "{}", read("etc"));
    }
}
