//! What this host can take away from a program.

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::{calls, namespace};

/// The first with `LANDLOCK_ACCESS_FS_TRUNCATE`: Linux 6.2.
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
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network namespace",
            Self::Files => "paths (Landlock)",
            Self::Calls => "system calls (seccomp)",
        }
    }
}

/// Whether the host gives a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// All of it.
    Whole,
    /// Not all of it; what is missing.
    Partly(String),
    /// None of it, and why.
    No(String),
}

impl Given {
    fn of(result: Result<(), impl std::fmt::Display>) -> Self {
        result.map_or_else(|error| Self::No(error.to_string()), |()| Self::Whole)
    }

    /// Whether there is something to apply.
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::No(_))
    }

    /// What is missing, if something is.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Partly(what) | Self::No(what) => Some(what),
        }
    }
}

/// What this host gives.
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
    /// Tries each part on this process, which is good for nothing but to tell afterwards. It must have one thread.
    pub fn probe() -> Self {
        Self {
            files: files(),
            network: Given::of(namespace::empty_network()),
            calls: Given::of(calls::restrict()),
        }
    }

    /// The parts with what the host gives of each.
    pub fn parts(&self) -> [(Part, &Given); 3] {
        [(Part::Network, &self.network), (Part::Files, &self.files), (Part::Calls, &self.calls)]
    }

    /// What is missing of which part.
    pub fn missing(&self) -> impl Iterator<Item = (Part, &str)> {
        self.parts().into_iter().filter_map(|(part, given)| Some((part, given.missing()?)))
    }
}

/// What this kernel gives of [`Part::Files`].
fn files() -> Given {
    if knows(TRUNCATE) {
        Given::Whole
    } else if knows(ABI::V1) {
        Given::Partly(
            "this kernel's Landlock does not keep files from being truncated; Linux 6.2 does".into(),
        )
    } else {
        Given::No(Error::NoLandlock.to_string())
    }
}

/// Whether the kernel knows all of these rights.
fn knows(abi: ABI) -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(abi)).and_then(Ruleset::create).is_ok()
}
