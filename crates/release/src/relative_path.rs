//! A path inside a release: relative, without `..`, with plain characters. Only such paths are joined to a folder and
//! opened.

use std::fmt;
use std::str::FromStr;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// The maximum length of a path, bytes.
const MAX_LENGTH: usize = 200;
/// The maximum number of components: a file of a report in the folder of a profile.
pub(crate) const MAX_DEPTH: usize = 4;

/// A path inside a release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

impl RelativePath {
    /// Its text, components joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The component after the last `/`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// As a path.
    pub fn as_path(&self) -> &Utf8Path {
        Utf8Path::new(&self.0)
    }

    /// Its components, at least one.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for RelativePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("{text:?} is not a path inside a release: {why}"));
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(format!("a path of {} bytes is not a path inside a release", text.len()));
        }
        if text.starts_with('/') {
            return refuse("it is absolute");
        }
        if text.split('/').any(|part| part == "..") {
            return refuse("it leads out of its folder");
        }
        if text.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return refuse("a part is empty or hidden");
        }
        if text.split('/').count() > MAX_DEPTH {
            return refuse("it is too deep");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-/~".contains(&byte);
        if !text.bytes().all(plain) {
            return refuse("it has characters other than letters, digits and ._+-~");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RelativePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RelativePath> for String {
    fn from(path: RelativePath) -> Self {
        path.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_the_folder_are_accepted() {
        for path in ["a", "sbom/rave-1.2.0-headless-x86_64.cdx.json", "smoke/headless/report.json"] {
            assert_eq!(path.parse::<RelativePath>().unwrap().as_str(), path);
        }
        for path in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a//b",
            "a/",
            ".a",
            "a/.b",
            "a\\b",
            "a\nb",
            "a b",
            "a/b/c/d/e",
            "\u{202e}a",
        ] {
            assert!(path.parse::<RelativePath>().is_err(), "{path:?}");
        }
        assert!("a".repeat(201).parse::<RelativePath>().is_err());
    }
}
