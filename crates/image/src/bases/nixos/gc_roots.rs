//! Roots of Nix's garbage collector: the store paths that an output folder links to stay as long as the folder exists.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::Format;

use super::argv;
use super::responses::BuiltOutput;
use crate::artifact::remove;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _, StageContext as _};

/// The file that names the output folder of the roots.
const OF: &str = "of";

/// The roots of one output folder: a link for each format.
pub(super) struct GcRoots {
    folder: Utf8PathBuf,
}

impl GcRoots {
    /// Opens the roots below `state_dir`; roots of deleted output folders are removed.
    pub(super) fn open(state_dir: &Utf8Path, out_dir: &Utf8Path) -> Result<Self, Error> {
        let all = state_dir.join("nix-roots");
        sweep(&all);
        let folder = all.join(Digest::of_bytes(out_dir.as_str().as_bytes()).short());
        fs::create_dir_all(&folder).at("create", &folder)?;
        let of = folder.join(OF);
        fs::write(&of, out_dir.as_str()).at("write", &of)?;
        Ok(Self { folder })
    }

    /// Where `nix build` creates its own links, until they are renamed.
    pub(super) fn pending(&self) -> Utf8PathBuf {
        self.folder.join("pending")
    }

    /// Creates the link of a format.
    pub(super) fn keep(&self, format: Format, built: &BuiltOutput) -> Result<(), Error> {
        let link = self.folder.join(format.as_str());
        if fs::read_link(&link).is_ok_and(|target| target.as_os_str() == built.out_path.as_str()) {
            return Ok(());
        }
        // Nix refuses to replace anything but its own links.
        remove(&link)?;
        let argv = argv::root(&built.out_path, &link);
        rave_process::Cmd::new(&argv[0]).args(&argv[1..]).output().stage("roots")?;
        Ok(())
    }

    /// Removes the link of a format.
    pub(super) fn drop(&self, format: Format) -> Result<(), Error> {
        remove(&self.folder.join(format.as_str()))
    }

    /// Removes the links at [`GcRoots::pending`].
    pub(super) fn tidy(&self) -> Result<(), Error> {
        let entries = fs::read_dir(&self.folder).at("read", &self.folder)?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("pending") {
                let path = Utf8PathBuf::from_path_buf(entry.path()).unwrap_or_default();
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Best effort: leftovers only take space.
fn sweep(all: &Utf8Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let of = fs::read_to_string(entry.path().join(OF));
        if of.is_ok_and(|out_dir| !Utf8Path::new(&out_dir).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_a_deleted_folder_are_removed() {
        let state = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(state.path()).unwrap();
        let out = state.join("out");
        fs::create_dir(&out).unwrap();
        let roots = GcRoots::open(state, &out).unwrap();
        for name in ["qemu", "pending", "pending-1"] {
            std::os::unix::fs::symlink("/nowhere", roots.folder.join(name)).unwrap();
        }
        roots.tidy().unwrap();
        assert!(fs::symlink_metadata(roots.folder.join("qemu")).is_ok(), "a root was removed");
        assert!(fs::symlink_metadata(roots.folder.join("pending-1")).is_err(), "a pending link is left");
        fs::remove_dir(&out).unwrap();
        let other = GcRoots::open(state, state).unwrap();
        assert!(!roots.folder.exists(), "the roots of a folder that is gone are left");
        assert!(other.folder.exists());
    }
}
