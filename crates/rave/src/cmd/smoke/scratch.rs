//! The folder of an artifact's disk and serial log during its checks: they outlive its machine.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::tempdir::LockedTempDir;

/// A folder that is removed with this value. A folder that a killed run left, with gigabytes in it, is removed by the
/// next run.
pub(super) struct Scratch {
    pub(super) path: Utf8PathBuf,
    _folder: LockedTempDir,
}

impl Scratch {
    pub(super) fn new(state_dir: &Utf8Path) -> anyhow::Result<Self> {
        let root = state_dir.join("smoke");
        fs::create_dir_all(&root)?;
        // The root contains only folders of this kind.
        let folder = LockedTempDir::new(&root, "")?;
        Ok(Self { path: folder.path().to_owned(), _folder: folder })
    }

    /// The disk with the guest's changes.
    pub(super) fn disk(&self) -> Utf8PathBuf {
        self.path.join("disk.qcow2")
    }

    /// What the guest printed on its console, over reboots.
    pub(super) fn serial_log(&self) -> Utf8PathBuf {
        self.path.join("serial.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_killed_runs_are_removed_and_folders_in_use_kept() {
        let state = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(state.path()).unwrap();
        let left = state.join("smoke/left");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("lock"), "").unwrap();
        let first = Scratch::new(state).unwrap();
        fs::write(first.disk(), "changes").unwrap();
        let second = Scratch::new(state).unwrap();
        assert!(!left.exists() && first.disk().exists());
        let path = first.path.clone();
        drop((first, second));
        assert!(!path.exists());
    }
}
