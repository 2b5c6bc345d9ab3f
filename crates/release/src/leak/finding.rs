//! What is found: by which rule and where, never what.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What must not be in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A private key: PEM, OpenSSH, PGP, `PuTTY`, age.
    PrivateKey,
    /// An access token of a service, by the form that the service gives its own.
    Token,
    /// A file in which programs keep credentials, or a line of one.
    Credential,
    /// A host key of SSH: a guest makes its own.
    HostKey,
    /// What tells a machine from others, or seeds its random pool.
    MachineId,
    /// What somebody typed or visited.
    History,
    /// A folder of the host that built it.
    BuildPath,
    /// The user who built it.
    BuilderUser,
    /// The host that built it.
    BuilderHost,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::PrivateKey,
        Self::Token,
        Self::Credential,
        Self::HostKey,
        Self::MachineId,
        Self::History,
        Self::BuildPath,
        Self::BuilderUser,
        Self::BuilderHost,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::Token => "token",
            Self::Credential => "credential",
            Self::HostKey => "host-key",
            Self::MachineId => "machine-id",
            Self::History => "history",
            Self::BuildPath => "build-path",
            Self::BuilderUser => "builder-user",
            Self::BuilderHost => "builder-host",
        }
    }

    /// Whether a package may bring an example of it along. No package knows its builder.
    pub fn may_be_allowed(self) -> bool {
        !matches!(self, Self::BuildPath | Self::BuilderUser | Self::BuilderHost)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A file in it, by its path without a leading slash.
    File(String),
    /// A byte of the disk that belongs to no file in which the same was found: free space, slack, a table.
    Disk(u64),
    /// A byte of the artifact's own file.
    Container(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "/{}", path.escape_debug()),
            Self::Disk(at) => write!(f, "byte {at} of the disk, outside of files"),
            Self::Container(at) => write!(f, "byte {at} of the file"),
        }
    }
}

/// Something that must not be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// The artifact's file.
    pub artifact: String,
    /// Where in it.
    pub place: Place,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.rule, self.artifact, self.place)
    }
}
