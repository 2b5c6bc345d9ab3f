//! What becomes the root file system of a disk.

use std::io::Write;

use crate::tree::merge::WriteError;
use crate::tree::root_tar::Extent;

/// A tree that is written as tar.
pub(crate) trait RootTree {
    /// What it needs on a disk; more than it needs does no harm.
    fn extent(&self) -> Extent;

    /// Writes the tree as tar (POSIX pax, "ustar Interchange Format"), the same bytes each time.
    fn write(&self, out: &mut dyn Write) -> Result<(), WriteError>;
}
