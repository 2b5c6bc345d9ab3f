//! Versions in the output of programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Major, minor, patch; a missing number counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProgramVersion(pub [u32; 3]);

impl ProgramVersion {
    /// The first number with a dot: in `QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)` it is 10.0.2.
    pub fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            // `v20.20.2`, `git version 2.39.5`, `OpenSSH_9.2p1`
            let start = word.find(|c: char| c.is_ascii_digit())?;
            Self::parse(&word[start..])
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = text[..end].split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next().and_then(|patch| patch.parse().ok()).unwrap_or(0);
        Some(Self([major, minor, patch]))
    }
}

impl fmt::Display for ProgramVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_versions_are_parsed() {
        let cases = [
            ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)", "10.0.2"),
            ("mke2fs 1.47.2 (1-Jan-2025)\n\tUsing EXT2FS Library version 1.47.2", "1.47.2"),
            ("mmdebstrap 1.3.5", "1.3.5"),
            ("sfdisk from util-linux 2.38.1", "2.38.1"),
            ("mcopy (GNU mtools) 4.0.32", "4.0.32"),
            ("grub-mkimage (GRUB) 2.06-13+deb12u2", "2.06"),
            ("v20.20.2", "20.20.2"),
            ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19", "9.2"),
        ];
        for (text, version) in cases {
            let expected = ProgramVersion::parse(version);
            assert!(expected.is_some());
            assert_eq!(ProgramVersion::find(text), expected, "{text}");
        }
        assert_eq!(ProgramVersion::find("Usage: mkfs.vfat [OPTIONS] TARGET [BLOCKS]"), None);
    }

    #[test]
    fn versions_are_compared_numerically() {
        assert!(ProgramVersion([1, 47, 0]) < ProgramVersion([1, 47, 1]));
        assert!(ProgramVersion([10, 0, 0]) > ProgramVersion([7, 2, 0]));
        assert_eq!(ProgramVersion([1, 47, 0]).to_string(), "1.47.0");
    }
}
