//! Numbers with a unit: ports and amounts of MiB.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidValue;

/// The valid range of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The unit in messages: `MiB`.
    pub unit: &'static str,
    /// The smallest and the largest valid number.
    pub range: RangeInclusive<u64>,
}

/// The guest's memory in MiB: with less, a Debian with these services does not boot; more is likely a typo (1 TiB).
pub const MEMORY_LIMITS: Limits = Limits { unit: "MiB", range: 512..=1_048_576 };
/// The guest's disk in MiB: the root filesystem with its tools needs the lower limit; ext4 with 32-bit numbers of 4 KiB
/// blocks ends at the upper one (16 TiB, ext4(5)).
pub const DISK_LIMITS: Limits = Limits { unit: "MiB", range: 4096..=16_777_216 };
/// The total for all sandboxes in MiB: with less, not even one can run; more is likely a typo (16 TiB).
pub const SANDBOXES_LIMITS: Limits = Limits { unit: "MiB", range: 512..=16_777_216 };
/// How many days a record outlives its sandbox: zero is a valid choice; more than the upper limit is likely a typo (ten
/// years).
pub const KEEP_AUDIT_LIMITS: Limits = Limits { unit: "days", range: 0..=3650 };
/// Virtual CPUs: APIC IDs have 8 bits without interrupt remapping, and 255 is the broadcast address.
pub const CPUS_LIMITS: Limits = Limits { unit: "CPUs", range: 1..=255 };

impl Limits {
    /// The number, if it is within the limits.
    pub fn check(&self, number: i128) -> Result<u64, InvalidValue> {
        u64::try_from(number).ok().filter(|number| self.range.contains(number)).ok_or_else(|| {
            InvalidValue::new(format!("{number} {} is out of range", self.unit), self.expected())
        })
    }

    /// Describes what [`check`](Self::check) accepts.
    pub fn expected(&self) -> String {
        format!("a whole number of {} from {} to {}", self.unit, self.range.start(), self.range.end())
    }
}

/// A TCP port: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port with this number; `None` for 0, which asks the system for any port.
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
    type Error = InvalidValue;
    fn try_from(number: i128) -> Result<Self, InvalidValue> {
        u16::try_from(number)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| InvalidValue::new(format!("port {number} is out of range"), Self::EXPECTED))
    }
}

impl Port {
    pub(crate) const EXPECTED: &str = "a whole number from 1 to 65535";
}

impl FromStr for Port {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        whole(text)
            .ok_or_else(|| InvalidValue::new(format!("{text:?} is not a port"), Self::EXPECTED))?
            .try_into()
    }
}

/// An amount in MiB (2^20 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MebiBytes(u64);

impl MebiBytes {
    /// This many MiB.
    pub const fn new(mebibytes: u64) -> Self {
        Self(mebibytes)
    }

    /// The number of MiB.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes; saturates at 2^64 - 1.
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
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        text.parse().map(Self).map_err(|_| {
            InvalidValue::new(format!("{text:?} is not a size"), "a whole number of MiB, without a unit")
        })
    }
}

/// A whole number in decimal digits, within 127 bits.
pub(crate) fn whole(text: &str) -> Option<i128> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_end_at_the_tcp_limit() {
        assert_eq!("1".parse::<Port>().unwrap().get(), 1);
        assert_eq!("65535".parse::<Port>().unwrap().get(), 65535);
        let invalid = |text: &str| text.parse::<Port>().unwrap_err().to_string();
        assert_eq!(invalid("0"), "port 0 is out of range; expected a whole number from 1 to 65535");
        assert_eq!(invalid("65536"), "port 65536 is out of range; expected a whole number from 1 to 65535");
        assert_eq!(invalid("ssh"), "\"ssh\" is not a port; expected a whole number from 1 to 65535");
    }

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(MEMORY_LIMITS.check(512), Ok(512));
        assert_eq!(MEMORY_LIMITS.check(1_048_576), Ok(1_048_576));
        assert!(MEMORY_LIMITS.check(511).is_err());
        assert!(MEMORY_LIMITS.check(1_048_577).is_err());
        assert!(MEMORY_LIMITS.check(-1).is_err());
        assert!(MEMORY_LIMITS.check(i128::MAX).is_err());
    }

    #[test]
    fn sizes_without_a_unit_are_mebibytes() {
        assert_eq!("4096".parse::<MebiBytes>().unwrap().bytes(), 4 << 30);
        assert_eq!(
            "4G".parse::<MebiBytes>().unwrap_err().to_string(),
            "\"4G\" is not a size; expected a whole number of MiB, without a unit"
        );
        assert_eq!(MebiBytes::new(u64::MAX).bytes(), u64::MAX);
    }
}
