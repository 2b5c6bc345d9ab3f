//! The origins of effective values.

use std::collections::BTreeMap;
use std::fmt;

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file that was passed to [`load`](crate::load).
    File {
        /// The name of the file as passed.
        name: String,
        /// The line of the value, starting at 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// The name of the variable.
        variable: String,
    },
    /// Not set anywhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Env { variable } => f.write_str(variable),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The origin of every effective key, by dotted key; a list is one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// The origin of a dotted key such as `services.ssh.host`; [`Origin::Default`] if it is not set anywhere.
    pub fn get(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// All keys with their origins, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(key, origin)| (key.as_str(), origin))
    }

    pub(crate) fn set(&mut self, key: String, origin: Origin) {
        self.0.insert(key, origin);
    }
}
