//! Findings: the rule and the place, never the content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What must not be in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A private key: PEM, OpenSSH, PGP, `PuTTY`, age.
    PrivateKey,
    /// An access token of a service, recognised by its documented form.
    Token,
    /// A file in which programs store credentials, or a line of one.
    Credential,
    /// An SSH host key: a guest generates its own.
    HostKey,
    /// An identifier of a machine, or a seed of its random number generator.
    MachineId,
    /// A history of commands or visited pages.
    History,
    /// A folder of the build host.
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

    /// Its name.
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

    /// Whether a package may legitimately contain an example. No package knows the builder's names.
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
    /// A file in the disk, by its path without a leading slash.
    File(String),
    /// A byte of the disk outside files in which the same was found: free space, slack, a table.
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
    /// The rule.
    pub rule: Rule,
    /// The artifact's file.
    pub artifact: String,
    /// The place in it.
    pub place: Place,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.rule, self.artifact, self.place)
    }
}
