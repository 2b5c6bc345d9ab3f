//! The headers of qcow version 1 and QED, which only old hosts wrote. Both may have a backing file.

/// `QED\0` (QEMU, `docs/interop/qed_spec.txt`).
pub const QED_MAGIC: [u8; 4] = *b"QED\0";

/// Bit 0 of a QED's features: `QED_F_BACKING_FILE`.
const BACKING: u64 = 1;

/// The relevant facts of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldHead {
    /// Whether it has a backing file.
    pub has_backing: bool,
    /// Whether its clusters are encrypted.
    pub is_encrypted: bool,
}

impl OldHead {
    /// Reads a qcow version 1 (QEMU, block/qcow.c, `QCowHeader`).
    pub fn qcow(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..48)?;
        let is_one = bytes.starts_with(b"QFI\xfb\0\0\0\x01");
        let set = |range: std::ops::Range<usize>| bytes[range].iter().any(|byte| *byte != 0);
        is_one.then(|| Self { has_backing: set(8..16), is_encrypted: set(36..40) })
    }

    /// Reads a QED.
    pub fn qed(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..64)?;
        let features = u64::from_le_bytes(std::array::from_fn(|index| bytes[16 + index]));
        bytes
            .starts_with(&QED_MAGIC)
            .then_some(Self { has_backing: features & BACKING != 0, is_encrypted: false })
    }
}
