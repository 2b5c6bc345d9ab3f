//! What this host can restrict.

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::{calls, namespace};

/// The first ABI with `LANDLOCK_ACCESS_FS_TRUNCATE`: Linux 6.2.
const TRUNCATE: ABI = ABI::V3;

/// A part of the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// An empty network namespace.
    Network,
    /// Landlock's rules on paths.
    Files,
    /// A filter of system calls.
    Calls,
}

impl Part {
    /// The name for users.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network namespace",
            Self::Files => "paths (Landlock)",
            Self::Calls => "system calls (seccomp)",
        }
    }
}

/// Whether the host supports a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// Completely.
    Whole,
    /// Not completely; what is missing.
    Partly(String),
    /// Not at all, and why.
    No(String),
}

impl Given {
    fn of(result: Result<(), impl std::fmt::Display>) -> Self {
        result.map_or_else(|error| Self::No(error.to_string()), |()| Self::Whole)
    }

    /// Whether there is anything to apply.
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::No(_))
    }

    /// What is missing, if anything.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Partly(what) | Self::No(what) => Some(what),
        }
    }
}

/// What this host supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// [`Part::Network`].
    pub network: Given,
    /// [`Part::Files`].
    pub files: Given,
    /// [`Part::Calls`].
    pub calls: Given,
}

impl Offer {
    /// Tries each part on this process, which can then only report the result. It must have a single thread.
    pub fn probe() -> Self {
        Self {
            files: files(),
            network: Given::of(namespace::empty_network()),
            calls: Given::of(calls::restrict()),
        }
    }

    /// The parts, each with the host's support for it.
    pub fn parts(&self) -> [(Part, &Given); 3] {
        [(Part::Network, &self.network), (Part::Files, &self.files), (Part::Calls, &self.calls)]
    }

    /// What is missing, with its part.
    pub fn missing(&self) -> impl Iterator<Item = (Part, &str)> {
        self.parts().into_iter().filter_map(|(part, given)| Some((part, given.missing()?)))
    }
}

/// This kernel's support for [`Part::Files`].
fn files() -> Given {
    if knows(TRUNCATE) {
        Given::Whole
    } else if knows(ABI::V1) {
        Given::Partly("this kernel's Landlock does not prevent truncating files; Linux 6.2 does".into())
    } else {
        Given::No(Error::NoLandlock.to_string())
    }
}

/// Whether the kernel supports all of these rights.
fn knows(abi: ABI) -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(abi)).and_then(Ruleset::create).is_ok()
}
