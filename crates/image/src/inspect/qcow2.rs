//! The head of a qcow2: QEMU's docs/interop/qcow2.txt, "Header".

use serde::Serialize;

/// "QFI\xfb"
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bytes that are read of it; version 2 has 72, version 3 at least 104.
pub const LENGTH: usize = 112;

/// Bit 2 of the incompatible features: the clusters lie in another file.
const EXTERNAL_DATA: u64 = 1 << 2;

/// What the head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// The disk's size, bytes.
    pub virtual_size: u64,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// How clusters are compressed, where they are.
    pub compression: Compression,
    /// Whether it needs another file: a backing file, or one with its data.
    pub needs_another_file: bool,
}

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// By DEFLATE.
    Zlib,
    /// By Zstandard.
    Zstd,
    /// By something newer.
    Unknown,
}

impl Header {
    /// Reads the first bytes of a file; shorter ones count as if zeros followed.
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
        // QEMU takes 512 bytes to 2 MiB.
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
        })
    }
}
