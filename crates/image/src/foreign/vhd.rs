//! VHD: Microsoft, Virtual Hard Disk Image Format Specification 1.0. All numbers are big-endian.

/// `Cookie` of a footer, and of its copy at the start of a disk that is not fixed.
pub const COOKIE: &[u8] = b"conectix";

/// Bytes of a footer; versions before Virtual PC 2004 wrote one less.
pub const FOOTER: usize = 512;

/// A footer ("Hard Disk Footer Format").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// The kind of the disk.
    pub kind: Kind,
    /// `Current Size`: the disk's size, bytes.
    pub size: u64,
}

/// `Disk Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The disk's bytes, then the footer.
    Fixed,
    /// Blocks in a table.
    Dynamic,
    /// Blocks in a table, the others in a parent.
    Differencing,
}

impl Footer {
    /// Parses a footer and verifies its checksum.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.get(..FOOTER).ok_or("it is shorter than a footer")?;
        if !bytes.starts_with(COOKIE) {
            return Err("it has no footer".into());
        }
        // The one's complement of the sum of all bytes but its own ("Checksum").
        let sum =
            |range: std::ops::Range<usize>| bytes[range].iter().map(|byte| u32::from(*byte)).sum::<u32>();
        if u32::from_be_bytes(std::array::from_fn(|index| bytes[64 + index]))
            != !(sum(0..64) + sum(68..FOOTER))
        {
            return Err("the check sum of its footer is wrong".into());
        }
        let kind = match u32::from_be_bytes(std::array::from_fn(|index| bytes[60 + index])) {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => Kind::Differencing,
            other => return Err(format!("its disk type is {other}; 2, 3 and 4 are known")),
        };
        Ok(Self { kind, size: u64::from_be_bytes(std::array::from_fn(|index| bytes[48 + index])) })
    }
}
