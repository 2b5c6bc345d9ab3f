//! A patch between two releases of a profile: it produces the newer disk from the older one.
//!
//! A file: [`MAGIC`], the length of the header as 4 bytes (little endian), the header as JSON ([`Header`]), then one record for each
//! chunk of the newer disk, in order: its length as 8 bytes (little endian) and a zstd frame (RFC 8878), or length 0 if
//! the older disk has the same chunk at the same position. A frame unpacks to the chunk without its holes: a bit for
//! each block of 4096 bytes, the lowest first, then the blocks whose bit is set. The others are zeros. The older disk
//! around that position, in the same form, is the frame's prefix (`ZSTD_CCtx_refPrefix`).

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
pub use make::{WrittenPatch, make};
pub use restore::{Restore, Restored, restore};

/// The first bytes of a patch.
pub const MAGIC: &[u8; 8] = b"RAVEPTC1";

/// Bytes of a disk processed at once; memory use is at most three times this. The format allows 256 MiB.
pub const CHUNK: u64 = 128 << 20;

/// How far before and after its own position a chunk's content is searched in the older disk, bytes: files move when a
/// preceding one grows.
pub const REACH: u64 = 64 << 20;

/// zstd's level.
const LEVEL: i32 = 9;
