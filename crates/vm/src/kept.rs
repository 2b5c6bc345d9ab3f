//! The base of a kept disk: the image that the disk was created from, retained for as long as the disk exists.
//!
//! Each kept disk has a folder with the overlay, `disk.qcow2`, its base under another name, and `base.json`, which is
//! written last: without it the folder counts as empty.

use std::fs;
use std::io::ErrorKind;
use std::time::UNIX_EPOCH;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::make_private_dir;
use crate::prepare::remove;

/// The folder of one kept disk.
#[derive(Debug, Clone)]
pub struct KeptDisk {
    folder: Utf8PathBuf,
}

/// How a base is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// As a hard link to the artifact.
    Linked,
    /// As a copy: the artifact is on another file system, or belongs to another user.
    Copied,
}

/// `base.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    /// SHA-256 of the artifact's content, hexadecimal.
    sha256: String,
    /// Its name in the folder.
    file: String,
}

/// A kept disk of a version that had no folders: `NAME.qcow2` beside the folder, and a note of its base,
/// `NAME.qcow2.base.json`.
#[derive(Debug, Clone)]
pub struct EarlierDisk {
    overlay: Utf8PathBuf,
    base: Option<EarlierBase>,
}

/// The base as that version recorded it: by its path and modification time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EarlierBase {
    path: Utf8PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u128,
}

impl EarlierDisk {
    /// Its file.
    pub fn overlay(&self) -> &Utf8Path {
        &self.overlay
    }

    /// The path of the image that it was created from, if known.
    pub fn base(&self) -> Option<&Utf8Path> {
        self.base.as_ref().map(|base| base.path.as_path())
    }

    /// Whether that image still exists, unchanged.
    pub fn is_unchanged(&self) -> bool {
        let is_the_same = |base: &EarlierBase| {
            let about = fs::metadata(&base.path).ok()?;
            let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
            Some((about.len(), modified) == (base.bytes, base.modified))
        };
        self.base.as_ref().and_then(is_the_same).unwrap_or(false)
    }

    fn note(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.base.json", self.overlay))
    }
}

impl KeptDisk {
    /// The kept disk in this folder, which need not exist yet.
    pub fn at(folder: Utf8PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The file that the guest writes to.
    pub fn overlay(&self) -> Utf8PathBuf {
        self.folder.join("disk.qcow2")
    }

    /// The digest of the image that the disk was created from, hexadecimal. `None` if there is no kept disk.
    pub fn digest(&self) -> Option<String> {
        self.read().filter(|_| self.overlay().exists()).map(|base| base.sha256)
    }

    /// That image, if it still exists.
    pub fn base(&self) -> Option<Utf8PathBuf> {
        self.read().map(|base| self.folder.join(base.file)).filter(|path| path.is_file())
    }

    fn read(&self) -> Option<Base> {
        serde_json::from_slice(&fs::read(self.folder.join("base.json")).ok()?).ok()
    }

    /// Retains an artifact with this digest, as a hard link if possible, otherwise as a copy, which the file system may
    /// make without copying data (`copy_file_range(2)`).
    pub fn hold(&self, artifact: &Utf8Path, sha256: &str) -> Result<Held, Error> {
        make_private_dir(&self.folder)?;
        // A link to a symbolic link would dangle with it.
        let artifact = artifact.canonicalize_utf8().map_err(|e| Error::io("inspect", artifact, e))?;
        let file = format!("base.{}", artifact.extension().unwrap_or("img"));
        let (place, partial) = (self.folder.join(&file), self.folder.join(format!(".{file}.partial")));
        remove(&partial)?;
        let held = if fs::hard_link(&artifact, &partial).is_ok() {
            Held::Linked
        } else {
            let copied = fs::copy(&artifact, &partial);
            if copied.is_err() {
                let _ = fs::remove_file(&partial); // the copy's own error is the one to report
            }
            copied.map_err(|e| Error::io("copy the image of the kept disk to", &partial, e))?;
            Held::Copied
        };
        // rename(2) does nothing if both names are links to the same file.
        remove(&place)?;
        fs::rename(&partial, &place).map_err(|e| Error::io("create", &place, e))?;
        let base = Base { sha256: sha256.to_owned(), file };
        let path = self.folder.join("base.json");
        let text = serde_json::to_vec_pretty(&base).map_err(|e| Error::io("write", &path, e.into()))?;
        Replace::new(&path).mode(0o644).write(text).map_err(|e| Error::io("write", &path, e))?;
        Ok(held)
    }

    /// The disk of the same name that an earlier version left, if any.
    pub fn earlier(&self) -> Option<EarlierDisk> {
        let mut earlier = EarlierDisk { overlay: format!("{}.qcow2", self.folder).into(), base: None };
        if !earlier.overlay.is_file() {
            return None;
        }
        earlier.base = fs::read(earlier.note()).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Some(earlier)
    }

    /// Moves an earlier version's disk to this folder, which already has its base and has no disk.
    pub fn adopt(&self, earlier: &EarlierDisk) -> Result<(), Error> {
        let overlay = self.overlay();
        // A hard link, so that nothing is overwritten (link(2)).
        fs::hard_link(&earlier.overlay, &overlay).map_err(|e| Error::io("create", &overlay, e))?;
        remove(&earlier.overlay)?;
        remove(&earlier.note())
    }

    /// Moves the disk with its base to a new folder beside this one, which becomes free; returns the new path.
    pub fn set_aside(&self) -> Result<Utf8PathBuf, Error> {
        for number in 1_u32.. {
            let aside = Utf8PathBuf::from(format!("{}.old-{number}", self.folder));
            match fs::create_dir(&aside) {
                // rename(2) replaces an empty folder.
                Ok(()) => {
                    fs::rename(&self.folder, &aside).map_err(|e| Error::io("rename into", &aside, e))?;
                    return Ok(aside);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &aside, error)),
            }
        }
        unreachable!("a u32 counts further than folders do")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        (scratch, folder)
    }

    #[test]
    fn a_kept_disks_image_is_kept_when_its_name_is_reused() {
        let (_scratch, folder) = scratch();
        let artifact = folder.join("a.qcow2");
        fs::write(&artifact, "old").unwrap();
        let kept = KeptDisk::at(folder.join("state/kept"));
        assert_eq!((kept.digest(), kept.base()), (None, None));
        assert_eq!(kept.hold(&artifact, "d1").unwrap(), Held::Linked);
        assert_eq!(kept.digest(), None, "without an overlay nothing is kept");
        fs::write(kept.overlay(), "").unwrap();
        fs::write(folder.join("new"), "new").unwrap();
        fs::rename(folder.join("new"), &artifact).unwrap();
        assert_eq!(kept.digest().as_deref(), Some("d1"));
        assert_eq!(fs::read_to_string(kept.base().unwrap()).unwrap(), "old");

        let aside = KeptDisk::at(kept.set_aside().unwrap());
        assert_eq!((aside.digest().as_deref(), kept.digest()), (Some("d1"), None));
        kept.hold(&artifact, "d2").unwrap();
        fs::write(kept.overlay(), "").unwrap();
        assert_ne!(kept.set_aside().unwrap(), aside.folder());
    }

    #[test]
    fn symbolic_links_are_followed_and_linking_again_changes_nothing() {
        let (_scratch, folder) = scratch();
        fs::write(folder.join("a.img"), "x").unwrap();
        std::os::unix::fs::symlink("a.img", folder.join("link.img")).unwrap();
        let kept = KeptDisk::at(folder.join("kept"));
        for _ in 0..2 {
            kept.hold(&folder.join("link.img"), "d").unwrap();
            let about = fs::symlink_metadata(kept.base().unwrap()).unwrap();
            assert!(about.is_file() && about.nlink() == 2);
        }
    }

    #[test]
    fn an_old_disk_is_kept_with_its_base_image() {
        let (_scratch, folder) = scratch();
        let (artifact, overlay) = (folder.join("a.qcow2"), folder.join("name.qcow2"));
        let kept = KeptDisk::at(folder.join("name"));
        assert!(kept.earlier().is_none());
        fs::write(&overlay, "work").unwrap();
        assert!(!kept.earlier().unwrap().is_unchanged(), "nothing is known about its base");
        fs::write(&artifact, "image").unwrap();
        let modified = fs::metadata(&artifact).unwrap().modified().unwrap();
        let modified = modified.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let base = EarlierBase { path: artifact.clone(), bytes: 5, modified };
        let note = folder.join("name.qcow2.base.json");
        fs::write(&note, serde_json::to_vec(&base).unwrap()).unwrap();
        let earlier = kept.earlier().unwrap();
        assert!(earlier.is_unchanged());
        assert_eq!(earlier.base(), Some(artifact.as_path()));

        kept.hold(&artifact, "d").unwrap();
        fs::write(kept.overlay(), "other work").unwrap();
        assert!(kept.adopt(&earlier).is_err(), "there already is a disk");
        assert_eq!(fs::read_to_string(&overlay).unwrap(), "work");
        fs::remove_file(kept.overlay()).unwrap();
        kept.adopt(&earlier).unwrap();
        assert_eq!(fs::read_to_string(kept.overlay()).unwrap(), "work");
        assert_eq!(kept.digest().as_deref(), Some("d"));
        assert!(kept.earlier().is_none() && !note.exists());

        fs::write(&artifact, "newer image").unwrap();
        assert!(!earlier.is_unchanged());
    }

    #[test]
    fn leftovers_of_a_killed_link_are_not_a_kept_disk() {
        let (_scratch, folder) = scratch();
        let kept = KeptDisk::at(folder.clone());
        fs::write(folder.join("base.img"), "half").unwrap();
        fs::write(kept.overlay(), "").unwrap();
        assert_eq!((kept.digest(), kept.base()), (None, None));
    }
}
