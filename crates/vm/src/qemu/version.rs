//! Versions of QEMU.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The oldest QEMU that RAVE supports: the version in Debian 12. Nothing is known to be missing from older versions,
/// but they were never tested.
pub const OLDEST: QemuVersion = QemuVersion { major: 7, minor: 2, patch: 0 };

/// A version of QEMU, compared number by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QemuVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl QemuVersion {
    /// The version in the first line of `qemu-system-* --version` or `qemu-img --version`: the word after `version`,
    /// as in `QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)`. Development builds add a fourth number.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.lines().next()?.split_once("version ")?.1.split_whitespace().next()?;
        let mut numbers = word.split(['.', '-', '+']).map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_for_every_packager() {
        let of = |text| QemuVersion::parse(text).map(|version| version.to_string());
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c)";
        assert_eq!(of(debian).as_deref(), Some("10.0.2"));
        assert_eq!(of("QEMU emulator version 7.2.50 (v7.2.0-1234)").as_deref(), Some("7.2.50"));
        assert_eq!(of("qemu-img version 9.2.0-rc3").as_deref(), Some("9.2.0"));
        assert_eq!(of("QEMU emulator version 11.1").as_deref(), Some("11.1.0"));
        for noise in ["", "bash: no such file", "version ", "version x.y", "QEMU emulator version 10"] {
            assert_eq!(of(noise), None, "{noise}");
        }
    }

    #[test]
    fn numbers_are_compared_numerically() {
        let version = |major, minor| QemuVersion { major, minor, patch: 0 };
        assert!(version(10, 0) > version(9, 2));
        assert!(version(7, 2) >= OLDEST);
        assert!(version(7, 1) < OLDEST);
    }
}
