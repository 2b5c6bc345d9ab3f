//! The `.mf` file of a package (DSP0243, 5.1): a line for each file.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::formats::parse_error::ParseError;

/// A line: `SHA256(name)= digits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestLine {
    /// As written: `SHA256`; `SHA1` in older packages; `SHA2-256` if written by openssl(1).
    pub algorithm: String,
    /// The file.
    pub name: String,
    /// Hexadecimal digits.
    pub digits: String,
}

/// A supported algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// OVF 1.x.
    Sha1,
    /// OVF 2.x, and most tools since.
    Sha256,
    /// Rare.
    Sha384,
    /// OVF 2.x.
    Sha512,
}

impl DigestLine {
    /// The algorithm, if it is known, in any of its spellings.
    pub fn algorithm(&self) -> Option<Algorithm> {
        let compact: String = self.algorithm.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
        match compact.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA" => Some(Algorithm::Sha1),
            "SHA256" | "SHA2256" => Some(Algorithm::Sha256),
            "SHA384" | "SHA2384" => Some(Algorithm::Sha384),
            "SHA512" | "SHA2512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }
}

impl Algorithm {
    /// Its name in FIPS 180-4.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The digest of everything that a reader yields, in lower-case digits.
    pub fn of_reader(self, reader: impl Read) -> io::Result<String> {
        match self {
            Self::Sha1 => digits::<Sha1>(reader),
            Self::Sha256 => digits::<Sha256>(reader),
            Self::Sha384 => digits::<Sha384>(reader),
            Self::Sha512 => digits::<Sha512>(reader),
        }
    }
}

fn digits<D: Digest>(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = D::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match reader.read(&mut chunk)? {
            0 => break,
            count => hasher.update(&chunk[..count]),
        }
    }
    let mut text = String::new();
    for byte in &hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The text of a `.mf` file.
pub fn render_digests(lines: &[DigestLine]) -> String {
    let line = |line: &DigestLine| format!("{}({})= {}\n", line.algorithm, line.name, line.digits);
    lines.iter().map(line).collect::<Vec<_>>().concat()
}

/// Reads a `.mf` file: `SHA1(a)= 00` as ovftool, VirtualBox and openssl(1) write it, `SHA256 (a) = 00` as `sha256sum --tag`.
/// Empty lines are skipped.
pub fn parse_digests(text: &str) -> Result<Vec<DigestLine>, ParseError> {
    let bad =
        |line: &str| ParseError::new("OVF manifest", format!("{line:?} is not ALGORITHM(FILE)= DIGITS"));
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (head, digits) = line.rsplit_once('=').ok_or_else(|| bad(line))?;
            let (algorithm, name) = head.trim_end().split_once('(').ok_or_else(|| bad(line))?;
            let name = name.strip_suffix(')').ok_or_else(|| bad(line))?;
            let (algorithm, digits) = (algorithm.trim_end(), digits.trim());
            if algorithm.is_empty()
                || digits.is_empty()
                || !digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                return Err(bad(line));
            }
            Ok(DigestLine { algorithm: algorithm.into(), name: name.into(), digits: digits.into() })
        })
        .collect()
}
