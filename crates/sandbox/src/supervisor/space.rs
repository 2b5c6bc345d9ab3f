//! Whether a machine that found the host's disk full may try again.

use camino::Utf8Path;
use rustix::fs::statvfs;

/// The free space required, bytes: a guest writes more than its next cluster, and would otherwise be paused again at
/// once.
const ENOUGH: u64 = 64 << 20;

/// Whether the file system of this folder has enough space for this user.
pub(super) fn has_enough(folder: &Utf8Path) -> bool {
    statvfs(folder.as_std_path()).is_ok_and(|about| about.f_bavail.saturating_mul(about.f_frsize) >= ENOUGH)
}
