//! Whether a machine that found the host's disk full may try again.

use camino::Utf8Path;
use rustix::fs::statvfs;

/// What must be free, bytes: a guest writes more than its next cluster, and one that stands again at once gains nothing.
const ENOUGH: u64 = 64 << 20;

/// Whether there is space on the disk of this folder, for this user.
pub(super) fn is_there(folder: &Utf8Path) -> bool {
    statvfs(folder.as_std_path()).is_ok_and(|about| about.f_bavail.saturating_mul(about.f_frsize) >= ENOUGH)
}
