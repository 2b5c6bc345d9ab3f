//! Numbers with a meaning: ports and amounts of MiB.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// Memory of the guest, in MiB: below, a Debian with these services does not boot; above is a slip of the finger (1 TiB).
pub const MEMORY_RANGE: RangeInclusive<u64> = 512..=1_048_576;
/// Disk of the guest, in MiB: the root filesystem with its tools needs the lower; ext4 with 32-bit block numbers of
/// 4 KiB ends at the upper (16 TiB, ext4(5)).
pub const DISK_RANGE: RangeInclusive<u64> = 4096..=16_777_216;
/// Virtual CPUs: 8-bit APIC ids, as without interrupt remapping, address 255.
pub const CPUS_RANGE: RangeInclusive<u64> = 1..=255;

/// A TCP port: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port of that number; `None` for 0, which asks the system for any port.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, for a socket address.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i128> for Port {
    type Error = Refusal;
    fn try_from(number: i128) -> Result<Self, Refusal> {
        u16::try_from(number)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| Refusal::new(format!("port {number} is out of range"), Self::EXPECTED))
    }
}

impl Port {
    pub(crate) const EXPECTED: &str = "a whole number from 1 to 65535";
}

impl FromStr for Port {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        whole(text).ok_or_else(|| Refusal::new(format!("{text:?} is not a port"), Self::EXPECTED))?.try_into()
    }
}

/// An amount in MiB (2^20 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MebiBytes(u64);

impl MebiBytes {
    /// That many MiB.
    pub const fn new(mebibytes: u64) -> Self {
        Self(mebibytes)
    }

    /// The number of MiB.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes; saturates beyond 2^64.
    pub const fn bytes(self) -> u64 {
        self.0.saturating_mul(1024 * 1024)
    }
}

impl fmt::Display for MebiBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MebiBytes {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.parse().map(Self).map_err(|_| {
            Refusal::new(format!("{text:?} is not a size"), "a whole number of MiB, without a unit")
        })
    }
}

/// Checks a number against a range, such as [`MEMORY_RANGE`]; `what` names the number in the message.
pub fn within(what: &str, number: i128, range: &RangeInclusive<u64>) -> Result<u64, Refusal> {
    u64::try_from(number)
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| Refusal::new(format!("{what} {number} is out of range"), expected_whole(range)))
}

pub(crate) fn expected_whole(range: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// A whole number in decimal digits, however large within 127 bits.
pub(crate) fn whole(text: &str) -> Option<i128> {
    text.parse().ok()
}
