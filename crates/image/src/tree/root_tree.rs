//! The source of a disk's root file system.

use std::io::Write;

use crate::tree::merge::WriteError;
use crate::tree::root_tar::Extent;

/// A tree that can be written as tar.
pub(crate) trait RootTree {
    /// The space that it needs on a disk; may be overestimated.
    fn extent(&self) -> Extent;

    /// Writes the tree as tar (POSIX pax, "ustar Interchange Format"), the same bytes each time.
    fn write(&self, out: &mut dyn Write) -> Result<(), WriteError>;
}
