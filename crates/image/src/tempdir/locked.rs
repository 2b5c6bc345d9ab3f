//! Folders for large files outside the cache. A folder left by a killed command is removed by the next command of its
//! kind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;

/// Its flock(2) is held while the folder is in use, and released when the process exits.
const LOCK: &str = "lock";

/// A folder that is removed with this value.
#[derive(Debug)]
pub struct LockedTempDir {
    folder: tempfile::TempDir,
    path: Utf8PathBuf,
    _lock: File,
}

/// `TMPDIR`, otherwise /var/tmp, because /tmp may be in memory.
pub fn place() -> Utf8PathBuf {
    let named = std::env::var("TMPDIR").ok().filter(|folder| !folder.is_empty());
    Utf8PathBuf::from(named.unwrap_or_else(|| "/var/tmp".into()))
}

impl LockedTempDir {
    /// Creates a private folder in `place` whose name starts with `prefix`. Removes unused folders of its kind.
    pub fn new(place: &Utf8Path, prefix: &str) -> io::Result<Self> {
        sweep(place, prefix);
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned())
            .map_err(|path| io::Error::other(format!("{} is not UTF-8", path.display())))?;
        // Locked before it gets its name: a sweep removes everything that can be locked.
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path)?;
        lock.lock()?;
        fs::rename(&lock_path, path.join(LOCK))?;
        Ok(Self { folder, path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Keeps the folder for the user: no later command removes it.
    pub fn keep(self) -> Utf8PathBuf {
        let _ = fs::remove_file(self.path.join(LOCK));
        let _ = self.folder.keep();
        self.path
    }
}

/// Best effort: leftovers only take space. Others may write to `place` too, so links and pipes are not opened.
fn sweep(place: &Utf8Path, prefix: &str) {
    for entry in place.read_dir_utf8().into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || !entry.file_name().starts_with(prefix) {
            continue;
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let lock = OpenOptions::new().read(true).custom_flags(flags).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leftovers_of_killed_commands_are_removed() {
        let guard = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(guard.path()).unwrap();
        let left = place.join("rave-a-left");
        fs::create_dir_all(left.join("deep")).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        for other in ["rave-b-left", "rave-a-without-lock"] {
            fs::create_dir(place.join(other)).unwrap();
        }
        fs::write(place.join("rave-b-left").join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(place.join("rave-b-left"), place.join("rave-a-link")).unwrap();

        let used = LockedTempDir::new(place, "rave-a-").unwrap();
        let kept = LockedTempDir::new(place, "rave-a-").unwrap().keep();
        let last = LockedTempDir::new(place, "rave-a-").unwrap();
        assert!(!left.exists(), "what was left is still there");
        for candidate in
            [used.path(), &kept, last.path(), &place.join("rave-b-left"), &place.join("rave-a-without-lock")]
        {
            assert!(candidate.is_dir(), "{candidate} is gone");
        }
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
