//! Where each effective value comes from.

use std::collections::BTreeMap;
use std::fmt;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file that was passed to [`load`](crate::load).
    File {
        /// Its name there.
        name: String,
        /// The value's line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        variable: String,
    },
    /// Said nowhere.
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

/// Dotted key to origin, for every effective key; a list is one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// The origin of a dotted key such as `services.ssh.host`; [`Origin::Default`] for one that is said nowhere.
    pub fn get(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Every key with its origin, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(key, origin)| (key.as_str(), origin))
    }

    pub(crate) fn set(&mut self, key: String, origin: Origin) {
        self.0.insert(key, origin);
    }
}
