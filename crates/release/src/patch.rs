//! A patch between two releases of a profile: what makes the newer disk of the older one.
//!
//! A file: [`MAGIC`], the length of the header as 4 bytes (little endian), the header as JSON ([`Header`]), then one record for each
//! chunk of the newer disk, in order: its length as 8 bytes (little endian) and a frame of zstd (RFC 8878), or length 0 where the older disk has
//! the same chunk at its place. A frame unpacks to the chunk without its holes: a bit for each block of 4096 bytes, the lowest first, then the
//! blocks whose bit is set. The rest are zeros. The same form of the older disk around that place is the frame's prefix
//! (`ZSTD_CCtx_refPrefix`).

mod apply;
mod conversions;
mod dense;
mod header;
mod make;
mod restore;

pub use apply::{STAGE, apply, into_file, read_header};
pub(crate) use conversions::proven;
pub use dense::Disk;
pub use header::{Conversion, DiskOf, Header};
pub use make::{Made, make};
pub use restore::{Restore, Restored, restore};

/// The first bytes of a patch.
pub const MAGIC: &[u8; 8] = b"RAVEPTC1";

/// Bytes of a disk that are made at once: what is at most in memory, three times over. The format allows 256 MiB.
pub const CHUNK: u64 = 128 << 20;

/// How far in front of and behind its own place the content of a chunk is looked for in the older disk, bytes: files move when one in front of
/// them grows.
pub const REACH: u64 = 64 << 20;

/// zstd's level.
const LEVEL: i32 = 9;
