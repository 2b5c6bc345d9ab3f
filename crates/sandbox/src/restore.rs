//! Restores a sandbox to an earlier moment. The new state is prepared in a second disk folder, which is then atomically
//! exchanged with the sandbox's own: this decides. Files that belong elsewhere are kept in the new folder until then.
//! If the command is killed before it has moved them into place, the next process that takes the sandbox's lock does
//! so.

use std::fs::{self, File};
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::moment::Saved;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::Error;
use crate::files::{private_dir, remove, remove_all, sync};
use crate::life_lock::LifeLock;
use crate::place::Place;

/// The subfolder, in the disk's folder, of files that belong elsewhere. It is removed once all of them are in place.
const STAGING: &str = "restored";
/// A workspace's files of the caller, in the folder of a sandbox, of a snapshot and of [`STAGING`].
const WORKSPACE: &str = "workspace";
/// The identity in the folder of a snapshot and of [`STAGING`].
pub(crate) const IDENTITY: &str = "identity.json";
/// How often at most a workspace's folder may be recreated by a process that waits for its lock.
const TRIES: u32 = 1000;

/// The new state of a sandbox, prepared beside its current state. Dropping it leaves the sandbox unchanged.
#[derive(Debug)]
pub struct Restoring {
    place: Place,
    saved: Saved,
    is_exchanged: bool,
}

fn new_disk(place: &Place) -> Utf8PathBuf {
    place.folder().join("disk.new")
}

impl Restoring {
    /// Does everything that takes time or space: `fill` gets the disk's folder and the folder of files that belong
    /// elsewhere.
    pub(crate) fn prepare(
        place: &Place,
        saved: Saved,
        fill: impl FnOnce(&Utf8Path, &Utf8Path) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let disk = new_disk(place);
        remove_all(&disk)?;
        let restoring = Self { place: place.clone(), saved, is_exchanged: false };
        let staging = disk.join(STAGING);
        private_dir(&disk)?;
        private_dir(&staging)?;
        fill(&disk, &staging)?;
        // If there was no workspace then, there will be none again.
        private_dir(&staging.join(WORKSPACE))?;
        sync(&disk)?;
        Ok(restoring)
    }

    /// What its next start resumes from.
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// Restores the sandbox, which must be stopped; what was on its disk is lost. Its workspace must not be in use.
    pub fn commit(mut self, lock: &LifeLock) -> Result<Saved, Error> {
        let (disk, new) = (self.place.disk().folder().to_owned(), new_disk(&self.place));
        renameat_with(CWD, new.as_std_path(), CWD, disk.as_std_path(), RenameFlags::EXCHANGE)
            .map_err(|e| Error::io("create", &disk, e.into()))?;
        self.is_exchanged = true;
        let folder = self.place.folder();
        File::open(folder).and_then(|file| file.sync_all()).map_err(|e| Error::io("write", folder, e))?;
        finish(&self.place, lock)?;
        Ok(self.saved)
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if !self.is_exchanged {
            let _ = remove_all(&new_disk(&self.place)); // the next command with the lock retries
        }
    }
}

/// Finishes what a killed command began, or removes it. Each step can be repeated.
pub(crate) fn finish(place: &Place, _lock: &LifeLock) -> Result<(), Error> {
    let staging = place.disk().folder().join(STAGING);
    let done = place.folder().join("restored.old");
    if staging.exists() {
        put(&staging.join(WORKSPACE), &place.folder().join(WORKSPACE))?;
        // With memory, it resumes as a machine without an identity; the earlier identity is for when it must boot
        // instead.
        let (present, absent) = if place.moment().exists() {
            (place.identity_before(), place.identity())
        } else {
            (place.identity(), place.identity_before())
        };
        link(&staging.join(IDENTITY), &present)?;
        remove(&absent)?;
        remove_all(&done)?;
        fs::rename(&staging, &done).map_err(|e| Error::io("create", &done, e))?;
    }
    remove_all(&done)?;
    remove_all(&new_disk(place))
}

/// Moves a folder into place, if that has not been done yet.
fn put(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    for _ in 0..TRIES {
        match fs::rename(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => remove_all(to)?,
            moved => return moved.map_err(|e| Error::io("create", to, e)),
        }
    }
    Err(Error::io("create", to, ErrorKind::DirectoryNotEmpty.into()))
}

/// Replaces `to` by a hard link, which works even on a full disk; if `from` does not exist, removes `to`.
fn link(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    if !from.exists() {
        return remove(to);
    }
    let new = to.with_extension("new");
    remove(&new)?;
    fs::hard_link(from, &new).and_then(|()| fs::rename(&new, to)).map_err(|e| Error::io("create", to, e))
}
