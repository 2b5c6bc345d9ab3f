//! `SHA256SUMS` in the format of `sha256sum`: the digest in hexadecimal digits, two spaces, the path.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rave_image::digest::Digest;

use crate::relative_path::RelativePath;

/// The file that lists every file of a release except itself and its signature.
pub const FILE: &str = "SHA256SUMS";
/// Its signature.
pub const SIGNATURE: &str = "SHA256SUMS.sig";
/// The digests of whole files that are split into parts.
pub const JOINED: &str = "SHA256SUMS.joined";

/// Maximum size of either list, bytes.
pub const LIMIT: u64 = 2 << 20;

/// Digests by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<RelativePath, Digest>);

impl Sums {
    /// Parses the file's text. Duplicate paths are refused, and so is everything that [`Sums::render`] would write
    /// differently.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut sums = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |why: String| format!("line {}: {why}", number + 1);
            let (digest, path) = line.split_once("  ").ok_or_else(|| wrong("no digest and path".into()))?;
            if digest.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(wrong("the digest is not in lower case".into()));
            }
            let digest = digest.parse().map_err(wrong)?;
            let path: RelativePath = path.parse().map_err(wrong)?;
            if [FILE, SIGNATURE].contains(&path.as_str()) {
                return Err(wrong(format!("{path} cannot list itself")));
            }
            if sums.insert(path.clone(), digest).is_some() {
                return Err(wrong(format!("{path} is listed twice")));
            }
        }
        if !text.ends_with('\n') {
            return Err("the last line is truncated".into());
        }
        let sums = Self(sums);
        if sums.render() == text { Ok(sums) } else { Err("its lines are not sorted by path".into()) }
    }

    /// The file's text, sorted by path.
    pub fn render(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (path, digest)| {
            let _ = writeln!(text, "{digest}  {path}"); // a String takes all
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_round_trips_and_other_formats_are_refused() {
        let zero = "0".repeat(64);
        let text = format!("{zero}  a\n{zero}  sbom/b\n");
        assert_eq!(Sums::parse(&text).unwrap().render(), text);
        for wrong in [
            format!("{zero}  a\n{zero}  a\n"),
            format!("{zero}  ../a\n"),
            format!("{zero}  /a\n"),
            format!("{zero} a\n"),
            format!("{zero}  a"),
            format!("{}  a\n", "A".repeat(64)),
            format!("{zero}  SHA256SUMS\n"),
            format!("{zero}  a\r\n"),
            format!("{zero}  b\n{zero}  a\n"),
            "a\n".into(),
            String::new(),
        ] {
            assert!(Sums::parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
