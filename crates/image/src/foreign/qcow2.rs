//! The header of a qcow2: QEMU's docs/interop/qcow2.txt, "Header" and "Header extensions".

use serde::Serialize;

/// "QFI\xfb"
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bytes of it that are read; version 2 has 72, version 3 at least 104.
pub const LENGTH: usize = 112;

/// Bit 2 of the incompatible features: the clusters are in another file.
const EXTERNAL_DATA: u64 = 1 << 2;

/// The header's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// The disk's size, bytes.
    pub virtual_size: u64,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// The compression of compressed clusters.
    pub compression: Compression,
    /// Whether it needs another file: a backing file or an external data file.
    pub needs_another_file: bool,
    /// Whether its clusters are encrypted.
    pub is_encrypted: bool,
}

/// References to other files in a qcow2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The backing file.
    pub backing: Option<String>,
    /// The backing file's format; otherwise QEMU would probe its bytes, which a guest may have written.
    pub backing_format: Option<String>,
    /// The external data file; empty if it needs one without naming it.
    pub data: Option<String>,
}

/// Types of header extensions.
const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xE279_2ACA;
const DATA_FILE: u32 = 0x4441_5441;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// By DEFLATE.
    Zlib,
    /// By Zstandard.
    Zstd,
    /// An unknown, newer algorithm.
    Unknown,
}

impl Header {
    /// Parses the first bytes of a file; shorter input is padded with zeros.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut head = [0; LENGTH];
        let length = bytes.len().min(LENGTH);
        head[..length].copy_from_slice(&bytes[..length]);
        let four = |at: usize| u32::from_be_bytes(std::array::from_fn(|index| head[at + index]));
        let eight = |at: usize| u64::from_be_bytes(std::array::from_fn(|index| head[at + index]));
        if head[..4] != MAGIC {
            return Err("it does not start with QFI".into());
        }
        let (version, cluster_bits) = (four(4), four(20));
        if !(2..=3).contains(&version) {
            return Err(format!("its version is {version}; 2 and 3 are known"));
        }
        // QEMU accepts 512 bytes to 2 MiB.
        if !(9..=21).contains(&cluster_bits) {
            return Err(format!("its clusters have 2^{cluster_bits} bytes"));
        }
        let (incompatible, length) = if version == 3 { (eight(72), four(100)) } else { (0, 72) };
        let compression = match if length > 104 { head[104] } else { 0 } {
            0 => Compression::Zlib,
            1 => Compression::Zstd,
            _ => Compression::Unknown,
        };
        Ok(Self {
            version,
            virtual_size: eight(24),
            cluster_size: 1 << cluster_bits,
            compression,
            needs_another_file: eight(8) != 0 || incompatible & EXTERNAL_DATA != 0,
            is_encrypted: four(32) != 0,
        })
    }

    /// Size of the part of the file with the header, its extensions and names: its first cluster.
    pub fn first_cluster(&self) -> u64 {
        self.cluster_size
    }
}

impl Names {
    /// Parses the first cluster, or as much of it as exists.
    pub fn parse(cluster: &[u8]) -> Result<Self, String> {
        Header::parse(cluster)?;
        let part = |start: usize, length: usize| {
            let bytes = start.checked_add(length).and_then(|end| cluster.get(start..end));
            bytes.ok_or_else(|| "a name in its header lies beyond its first cluster".to_owned())
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let place = |bytes: &[u8]| usize::try_from(number(bytes)).unwrap_or(usize::MAX);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let is_three = number(part(4, 4)?) == 3;
        let mut names = Self::default();
        let (start, length) = (place(part(8, 8)?), place(part(16, 4)?));
        if start != 0 {
            names.backing = Some(text(part(start, length)?));
        }
        let needs_data = is_three && number(part(72, 8)?) & EXTERNAL_DATA != 0;
        let mut at = if is_three { place(part(100, 4)?) } else { 72 };
        // Extensions end at the backing file's name, if it has one.
        while start == 0 || at < start {
            let Ok(head) = part(at, 8) else { break };
            let (kind, length) = (number(&head[..4]), place(&head[4..]));
            let content = part(at + 8, length);
            match u32::try_from(kind).unwrap_or_default() {
                END => break,
                BACKING_FORMAT => names.backing_format = Some(text(content?)),
                DATA_FILE => names.data = Some(text(content?)),
                _ => {}
            }
            at = at.saturating_add(8).saturating_add(length.saturating_add(7) & !7);
        }
        names.data = if needs_data { Some(names.data.unwrap_or_default()) } else { None };
        Ok(names)
    }
}
