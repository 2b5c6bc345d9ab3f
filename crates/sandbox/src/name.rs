//! The name of a sandbox.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name: the limit for a label of a host name (RFC 1035, 2.3.4).
const MAX: usize = 63;

/// A label of a host name (RFC 1123, 2.1) in lower case: it names both a folder and a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxName(String);

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name for {of}: {why}")]
pub struct BadName {
    text: String,
    of: &'static str,
    why: &'static str,
}

impl BadName {
    /// The same error for a name of something else.
    pub(crate) fn of(self, of: &'static str) -> Self {
        Self { of, ..self }
    }
}

impl SandboxName {
    /// The longest name, bytes.
    pub(crate) const MAX: usize = MAX;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Derives a name from a folder's: in lower case, with hyphens for characters that names cannot contain. `None` if
    /// nothing is left.
    pub fn of_folder(folder: &str) -> Option<Self> {
        let mut name = String::new();
        for character in folder.chars().flat_map(char::to_lowercase) {
            let fits = character.is_ascii_lowercase() || character.is_ascii_digit();
            if fits {
                name.push(character);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if name.len() == MAX {
                break;
            }
        }
        name.trim_end_matches('-').parse().ok()
    }
}

impl FromStr for SandboxName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName { text: text.chars().take(100).collect(), of: "a sandbox", why });
        if text.is_empty() {
            return bad("it is empty");
        }
        if text.len() > MAX {
            return bad("it has more than 63 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return bad("it may only contain lower-case letters, digits and hyphens");
        }
        if text.starts_with('-') || text.ends_with('-') {
            return bad("it may not begin or end with a hyphen");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SandboxName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<SandboxName> for String {
    fn from(name: SandboxName) -> Self {
        name.0
    }
}

impl fmt::Display for SandboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_long_and_invalid_names_are_refused() {
        let long = "a".repeat(64);
        for bad in [
            "",
            "..",
            ".",
            "a/b",
            "/",
            "../x",
            "A",
            "a_b",
            "a.b",
            "-a",
            "a-",
            "a b",
            "ä",
            "a\n",
            "a\u{202e}",
            &long,
        ] {
            assert!(bad.parse::<SandboxName>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "my-project", "a--b", &long[..63]] {
            assert_eq!(good.parse::<SandboxName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_name_is_derived_from_a_folder() {
        let name = |folder: &str| SandboxName::of_folder(folder).map(String::from);
        assert_eq!(name("My_Project.rs").as_deref(), Some("my-project-rs"));
        assert_eq!(name("--x--").as_deref(), Some("x"));
        assert_eq!(name(&"ab-".repeat(40)).map(|name| name.len()), Some(62));
        assert_eq!(name("..").as_deref(), None);
        assert_eq!(name("日本").as_deref(), None);
    }

    proptest! {
        #[test]
        fn a_name_is_one_path_component(text in ".{0,70}") {
            for name in text.parse().ok().into_iter().chain(SandboxName::of_folder(&text)) {
                let name: SandboxName = name;
                let components: Vec<_> = std::path::Path::new(name.as_str()).components().collect();
                prop_assert!(matches!(components.as_slice(), [std::path::Component::Normal(_)]));
            }
        }
    }
}
