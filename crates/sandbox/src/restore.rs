//! A sandbox is put back to an earlier moment. What it becomes is made beside what it is, in the folder of a disk; the exchange of
//! that folder with the sandbox's own decides, at once. What belongs elsewhere lies in it until then, and is put in its place by
//! whoever takes the sandbox's lock next, should the command be killed.

use std::fs::{self, File};
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::moment::Saved;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::Error;
use crate::files::{private_dir, remove, remove_all, sync};
use crate::life_lock::LifeLock;
use crate::place::Place;

/// The folder, in that of the disk, of what belongs elsewhere. It goes when all of it is there.
const BESIDE: &str = "restored";
/// What a caller keeps of a workspace, in the folder of a sandbox, of a snapshot and of [`BESIDE`].
const WORKSPACE: &str = "workspace";
/// The identity in the folder of a snapshot and of [`BESIDE`].
pub(crate) const IDENTITY: &str = "identity.json";
/// How often a workspace's folder is made by somebody who waits for its lock, at most.
const TRIES: u32 = 1000;

/// What a sandbox becomes, made beside what it is. Dropping it leaves the sandbox as it is.
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
    /// Makes all that takes time or space: `fill` gets the folder of the disk and that of what belongs elsewhere.
    pub(crate) fn prepare(
        place: &Place,
        saved: Saved,
        fill: impl FnOnce(&Utf8Path, &Utf8Path) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let disk = new_disk(place);
        remove_all(&disk)?;
        let restoring = Self { place: place.clone(), saved, is_exchanged: false };
        let beside = disk.join(BESIDE);
        private_dir(&disk)?;
        private_dir(&beside)?;
        fill(&disk, &beside)?;
        // One that had none has none again.
        private_dir(&beside.join(WORKSPACE))?;
        sync(&disk)?;
        Ok(restoring)
    }

    /// What its next start goes on from.
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// Puts the sandbox, which does not run, back: what was on its disk is lost. Nobody may use its workspace meanwhile.
    pub fn commit(mut self, lock: &LifeLock) -> Result<Saved, Error> {
        let (disk, new) = (self.place.disk().folder().to_owned(), new_disk(&self.place));
        renameat_with(CWD, new.as_std_path(), CWD, disk.as_std_path(), RenameFlags::EXCHANGE)
            .map_err(|e| Error::io("make", &disk, e.into()))?;
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
            let _ = remove_all(&new_disk(&self.place)); // the next command with the lock tries again
        }
    }
}

/// Finishes what a killed command began, or removes it. Each step can be done twice.
pub(crate) fn finish(place: &Place, _lock: &LifeLock) -> Result<(), Error> {
    let beside = place.disk().folder().join(BESIDE);
    let done = place.folder().join("restored.old");
    if beside.exists() {
        put(&beside.join(WORKSPACE), &place.folder().join(WORKSPACE))?;
        // With memory it goes on as a machine without an identity, and has the earlier one where it must boot instead.
        let (there, gone) = if place.moment().exists() {
            (place.identity_before(), place.identity())
        } else {
            (place.identity(), place.identity_before())
        };
        link(&beside.join(IDENTITY), &there)?;
        remove(&gone)?;
        remove_all(&done)?;
        fs::rename(&beside, &done).map_err(|e| Error::io("make", &done, e))?;
    }
    remove_all(&done)?;
    remove_all(&new_disk(place))
}

/// Moves a folder to its place, where that was not done yet.
fn put(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    for _ in 0..TRIES {
        match fs::rename(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => remove_all(to)?,
            moved => return moved.map_err(|e| Error::io("make", to, e)),
        }
    }
    Err(Error::io("make", to, ErrorKind::DirectoryNotEmpty.into()))
}

/// A second name in the place of what has it, for a full disk has space for that; otherwise what has the name goes.
fn link(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    if !from.exists() {
        return remove(to);
    }
    let new = to.with_extension("new");
    remove(&new)?;
    fs::hard_link(from, &new).and_then(|()| fs::rename(&new, to)).map_err(|e| Error::io("make", to, e))
}
