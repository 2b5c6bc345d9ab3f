//! Linux paths, which are bytes. As text, `%` and each byte that is not UTF-8 become `%` and two digits.

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::escape::escaped;

/// A path below the root of a workspace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BytePath(pub Vec<u8>);

impl BytePath {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is `folder` or is below it; every path is below an empty one.
    pub fn is_in(&self, folder: &[u8]) -> bool {
        folder.is_empty()
            || self.0.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for chunk in self.0.utf8_chunks() {
            text.push_str(&chunk.valid().replace('%', "%25"));
            for byte in chunk.invalid() {
                let _ = write!(text, "%{byte:02x}");
            }
        }
        text
    }
}

impl FromStr for BytePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut parts = text.split('%');
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or_else(|| format!("{text:?} has a % without two digits"))?);
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for BytePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BytePath> for String {
    fn from(path: BytePath) -> Self {
        path.text()
    }
}

impl From<&str> for BytePath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Borrow<[u8]> for BytePath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// For people: without characters that have an effect on a terminal.
impl fmt::Display for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.0).replace('\n', "\\n").replace('\t', "\\t"))
    }
}

impl fmt::Debug for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_control_characters_are_escaped() {
        let path = BytePath(b"a\x1b]0;x\x07\n\xff\xe2\x80\xae".to_vec());
        assert_eq!(path.to_string(), "a\\u{1b}]0;x\\u{7}\\n\\xff\\u{202e}");
        assert!(BytePath::from("a/b").is_in(b"a") && !BytePath::from("ab").is_in(b"a"));
        assert!(
            BytePath::from("%zz").text().parse::<BytePath>().is_ok() && "%zz".parse::<BytePath>().is_err()
        );
    }

    proptest! {
        #[test]
        fn any_path_round_trips_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let path = BytePath(bytes);
            prop_assert_eq!(path.text().parse::<BytePath>(), Ok(path.clone()));
            prop_assert!(!path.to_string().chars().any(char::is_control));
        }
    }
}
