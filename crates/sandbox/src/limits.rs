//! Limits on what all sandboxes of a user together may use of the host, checked before another is started.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::SandboxName;

/// Memory reserved for the host, bytes.
const HOST_MEMORY: u64 = 512 << 20;
/// Disk space reserved for the host, bytes: a full disk stops every guest's writes.
const HOST_DISK: u64 = 1 << 30;

/// The limits, bytes, and how long records are kept; `None` means no limit other than the host's resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all running sandboxes.
    pub memory: Option<u64>,
    /// Disk space of all sandboxes.
    pub disk: Option<u64>,
    /// How long a record outlives its sandbox, seconds.
    #[serde(default)]
    pub keep_audit: Option<u64>,
}

/// The resource that is scarce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scarce {
    /// Memory.
    Memory,
    /// Disk space.
    Disk,
}

impl fmt::Display for Scarce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk space",
        })
    }
}

/// Why no other sandbox can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverLimit {
    /// The scarce resource.
    pub scarce: Scarce,
    /// What the sandboxes use, bytes.
    pub taken: u64,
    /// Their limit, or what the host has left, bytes.
    pub limit: u64,
    /// Whether the limit was set by a user.
    pub is_set: bool,
    /// The sandbox that uses the most, and how much, bytes.
    pub largest: Option<(SandboxName, u64)>,
}

/// What the host has left, bytes, if known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Free {
    /// Memory available to programs.
    pub memory: Option<u64>,
    /// Disk space of the store's file system.
    pub disk: Option<u64>,
}

/// What each sandbox uses, bytes.
pub type Takers = Vec<(SandboxName, u64)>;

impl Limits {
    /// The limit that another sandbox would exceed, or the resource that the host lacks for it. `memory` lists what
    /// each running sandbox uses, `disk` what each sandbox uses.
    pub fn over(&self, memory: &Takers, disk: &Takers, free: Free) -> Option<OverLimit> {
        over(Scarce::Memory, memory, self.memory, free.memory, HOST_MEMORY)
            .or_else(|| over(Scarce::Disk, disk, self.disk, free.disk, HOST_DISK))
    }
}

fn over(
    scarce: Scarce,
    takers: &Takers,
    limit: Option<u64>,
    free: Option<u64>,
    keep: u64,
) -> Option<OverLimit> {
    let taken = takers.iter().map(|(_, bytes)| bytes).sum();
    let largest = takers.iter().max_by_key(|(_, bytes)| *bytes).cloned();
    let (limit, is_set) = match (limit, free) {
        (Some(limit), _) if taken >= limit => (limit, true),
        (_, Some(free)) if free < keep => (free, false),
        _ => return None,
    };
    Some(OverLimit { scarce, taken, limit, is_set, largest })
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes >> 20;
        let Self { scarce, taken, limit, is_set, largest } = self;
        if *is_set {
            let (taken, limit) = (mebibytes(*taken), mebibytes(*limit));
            write!(f, "the sandboxes use {taken} MiB of {scarce}, and the limit is {limit} MiB")?;
        } else {
            write!(f, "not enough {scarce} for another sandbox: {} MiB free", mebibytes(*limit))?;
        }
        match largest {
            Some((name, bytes)) => write!(f, "; {name} uses the most, {} MiB", mebibytes(*bytes)),
            None => Ok(()),
        }
    }
}

impl OverLimit {
    /// How to fix it.
    pub fn remedy(&self) -> String {
        let setting = match (self.is_set, self.scarce) {
            (false, _) => String::new(),
            (true, Scarce::Memory) => {
                ", or raise sandboxes.memory in rave.local.toml and use `cargo xtask up`".to_owned()
            }
            (true, Scarce::Disk) => {
                ", or raise sandboxes.disk in rave.local.toml and use `cargo xtask up`".to_owned()
            }
        };
        match (self.scarce, &self.largest) {
            (Scarce::Memory, Some((name, _))) => format!("stop one: cargo xtask stop {name}{setting}"),
            (Scarce::Memory, None) => "close other programs".to_owned(),
            (Scarce::Disk, Some((name, _))) => {
                format!("remove what is not used: cargo xtask rm {name}, or cargo xtask prune{setting}")
            }
            (Scarce::Disk, None) => "free disk space, or use another state folder: RAVE_STATE=DIR".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takers() -> Takers {
        vec![("a".parse().unwrap(), 10 << 20), ("b".parse().unwrap(), 30 << 20)]
    }

    #[test]
    fn the_largest_sandbox_is_named_at_a_limit() {
        let over = over(Scarce::Memory, &takers(), Some(40 << 20), None, 0).unwrap();
        assert_eq!(
            over.to_string(),
            "the sandboxes use 40 MiB of memory, and the limit is 40 MiB; b uses the most, 30 MiB"
        );
        assert_eq!(
            over.remedy(),
            "stop one: cargo xtask stop b, or raise sandboxes.memory in rave.local.toml and use `cargo xtask up`"
        );
    }

    #[test]
    fn the_host_keeps_a_reserve() {
        let over = over(Scarce::Disk, &Takers::new(), None, Some(9 << 20), 10 << 20).unwrap();
        assert_eq!(over.to_string(), "not enough disk space for another sandbox: 9 MiB free");
        assert!(super::over(Scarce::Disk, &takers(), Some(41 << 20), Some(10 << 20), 10 << 20).is_none());
        assert!(
            super::over(Scarce::Disk, &takers(), None, None, 10 << 20).is_none(),
            "an unknown amount is no reason to refuse"
        );
    }
}
