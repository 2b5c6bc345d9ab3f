//! Extended attributes, read from the file systems themselves: nothing is mounted.

mod ext4;
mod part;
pub(super) mod squashfs;

use std::io;

use camino::Utf8Path;
use part::EachAttribute;
use rave_image::inside::Kind;

/// The start of the path in a finding.
pub(super) const PLACE: &str = "extended attributes!/";

/// Visits all attributes of the file system that starts at a byte of a file.
pub(super) type Reader = fn(&Utf8Path, u64, &mut EachAttribute<'_>) -> io::Result<()>;

/// The reader for a file system; none if it has no extended attributes.
pub(super) fn reader(kind: Kind) -> Option<Reader> {
    match kind {
        Kind::Ext4 => Some(ext4::attributes),
        Kind::Squashfs => Some(squashfs::attributes),
        Kind::Fat | Kind::None => None,
    }
}
