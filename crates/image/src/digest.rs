//! SHA-256 of inputs and artifacts (FIPS 180-4), always as 64 lower-case hexadecimal digits.

use std::fmt;
use std::io::{self, Read};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes read at once while a file is hashed.
const CHUNK: usize = 1 << 20;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of everything that `reader` yields, in the memory of one chunk.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&chunk[..n]),
            }
        }
    }

    /// The digest of a file's content.
    pub fn of_file(path: &Utf8Path) -> io::Result<Self> {
        Self::of_reader(std::fs::File::open(path)?)
    }

    /// The digest of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 16 hexadecimal digits: enough to distinguish folders of a cache.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }

    /// A UUID made from this digest and a purpose, version 8 (RFC 9562, section 5.8: vendor-specific).
    pub fn uuid(&self, purpose: &str) -> String {
        let mut hasher = Hasher::default();
        hasher.field("uuid", &self.0);
        hasher.field("purpose", purpose.as_bytes());
        let mut b = hasher.finish().0;
        b[6] = (b[6] & 0x0f) | 0x80;
        b[8] = (b[8] & 0x3f) | 0x80;
        let hex = Self(b).to_string();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
    }

    /// A digest that was computed elsewhere.
    pub fn of_raw(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl std::str::FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a SHA-256 digest: expected 64 lower-case hexadecimal digits");
        // Not signs, which numbers may have, nor capitals, which would be a second way to write a digest.
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Builds a digest of named fields. Every field is framed by its length, so that different lists of fields never give
/// the same bytes.
#[derive(Default, Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Adds bytes without framing: for the content of one stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds one named field.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// The digest of everything that was added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fips_180_4_known_answer() {
        let abc = Digest::of_bytes(b"abc");
        assert_eq!(abc.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::of_reader(&b"abc"[..]).unwrap(), abc);
        assert_eq!(abc.to_string().parse::<Digest>().unwrap(), abc);
        assert!("ba78".parse::<Digest>().is_err());
    }

    #[test]
    fn fields_are_length_prefixed() {
        let digest = |fields: &[(&str, &str)]| {
            let mut hasher = Hasher::default();
            for (name, value) in fields {
                hasher.field(name, value.as_bytes());
            }
            hasher.finish()
        };
        assert_ne!(digest(&[("ab", "c")]), digest(&[("a", "bc")]));
        assert_ne!(digest(&[("a", ""), ("b", "")]), digest(&[("a", "b")]));
    }

    #[test]
    fn uuids_are_version_8_and_differ_by_purpose() {
        let digest = Digest::of_bytes(b"");
        let (disk, root) = (digest.uuid("disk"), digest.uuid("root"));
        assert_eq!(disk.len(), 36);
        assert_eq!(&disk[14..15], "8");
        assert!("89ab".contains(&disk[19..20]));
        assert_ne!(disk, root);
    }
}
