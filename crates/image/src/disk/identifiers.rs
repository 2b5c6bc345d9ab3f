//! Identifiers of disks.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Identifiers of the disk and its file systems; derived from the inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifiers {
    /// GPT disk GUID (UEFI specification 2.10, table 5.5).
    pub disk: String,
    /// Partition GUIDs: BIOS boot, ESP, root.
    pub partitions: [String; 3],
    /// UUID of the root file system; the kernel finds it by this.
    pub root: String,
    /// Seed of ext4's directory hashes.
    pub hash_seed: String,
    /// Volume serial number of the ESP's FAT, 8 hexadecimal digits.
    pub esp: String,
}

impl Identifiers {
    /// Identifiers for a disk with this key.
    pub fn of(key: &Digest) -> Self {
        Self {
            disk: key.uuid("disk"),
            partitions: ["bios-boot", "esp", "root-partition"].map(|purpose| key.uuid(purpose)),
            root: key.uuid("root"),
            hash_seed: key.uuid("hash-seed"),
            esp: key.uuid("esp")[..8].to_owned(),
        }
    }

    /// The same with a given UUID of the root file system, which the installed system refers to.
    #[must_use]
    pub fn with_root(self, root: &str) -> Self {
        Self { root: root.to_owned(), ..self }
    }
}
