//! Names of store paths, and hashes in nix's notations.

use base64ct::{Base64, Encoding as _};

use crate::digest::Digest;

/// The store's folder in the guest.
pub const STORE: &str = "/nix/store";

/// The digits of nix's base 32 (libutil/hash.cc, `nix32Chars`).
const BASE_32: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// Digits of a store path's own hash, and the longest name after them (libstore/path.cc, `HashLen`, `MaxPathLen`).
const HASH_DIGITS: usize = 32;
const LONGEST_NAME: usize = 211;

/// The path of a store object: `/nix/store/` with a hash, a dash and a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

impl StorePath {
    /// Reads one (libstore/path.cc, `checkName`).
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{}` is not a store path: {why}", text.escape_debug()));
        let Some(base) = text.strip_prefix(STORE).and_then(|rest| rest.strip_prefix('/')) else {
            return refuse("it is not below /nix/store");
        };
        let Some((hash, name)) = base.split_once('-') else { return refuse("it has no name") };
        if hash.len() != HASH_DIGITS || !hash.bytes().all(|digit| BASE_32.contains(&digit)) {
            return refuse("it does not begin with a hash");
        }
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(known) || name.starts_with('.') {
            return refuse("its name has characters that no store path has");
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its name in the store's folder.
    pub fn base(&self) -> &str {
        &self.0[STORE.len() + 1..]
    }
}

/// A SHA-256 as nix writes it: in base 16 or 32, after `sha256:` or alone, or `sha256-` in base 64 (Subresource Integrity).
pub fn parse_sha256(text: &str) -> Option<Digest> {
    if let Some(base_64) = text.strip_prefix("sha256-") {
        let mut bytes = [0; 32];
        let read = Base64::decode(base_64, &mut bytes).ok()?;
        return (read.len() == 32).then(|| Digest::of_raw(bytes));
    }
    match text.strip_prefix("sha256:").unwrap_or(text) {
        digits if digits.len() == 64 => digits.parse().ok(),
        digits => from_base_32(digits),
    }
}

/// Five bits per digit, the lowest last (libutil/hash.cc).
fn from_base_32(digits: &str) -> Option<Digest> {
    // 256 bits in digits of five bits.
    if digits.len() != 52 {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (place, digit) in digits.bytes().rev().enumerate() {
        let value = u16::try_from(BASE_32.iter().position(|known| *known == digit)?).ok()?;
        let (byte, shift) = (place * 5 / 8, place * 5 % 8);
        let [low, high] = (value << shift).to_le_bytes();
        bytes[byte] |= low;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return None,
            None => {}
        }
    }
    Some(Digest::of_raw(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notations_of_a_hash_are_equal() {
        // The empty string, in base 16, base 32 (`nix hash convert`) and base 64.
        let expected = Digest::of_bytes(b"");
        for text in [
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ] {
            assert_eq!(parse_sha256(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "sha256:",
            "sha512:00",
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7e",
            "sha256-47DE",
        ] {
            assert_eq!(parse_sha256(text), None, "{text}");
        }
    }

    #[test]
    fn only_valid_names_are_store_paths() {
        let hash = "0mdqa9w1p6cmli6976v4wi0sw9r4p5pr";
        let path = StorePath::parse(&format!("/nix/store/{hash}-a_b+1.2?=")).unwrap();
        assert_eq!(path.base(), format!("{hash}-a_b+1.2?="));
        for wrong in [
            format!("/nix/store/{hash}"),
            format!("/nix/store/{hash}-"),
            format!("/nix/store/{hash}-a/b"),
            format!("/nix/store/{hash}-a b"),
            format!("/nix/store/{hash}-.."),
            format!("/nix/store/{}-a", hash.replace('0', "e")),
            format!("/gnu/store/{hash}-a"),
            format!("/nix/store/../store/{hash}-a"),
        ] {
            assert!(StorePath::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
