//! The layers of a disk that was frozen, each the backing file of the next: the lower ones are never written again, and
//! may have hard links in other folders. Each names its backing file by the file name alone.

mod header;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::prepare::{move_to_base, overlay_of_size, remove, set_backing};
use crate::sparse::copy_sparse;

/// Above this height, the next start of a machine collapses them into one.
pub const MANY: u32 = 12;
/// More would make each read of the guest slow: it searches every file in turn.
pub const MOST: u32 = 24;

/// The mode of a layer that others may lie on. A fenced QEMU cannot change modes.
const FROZEN: u32 = 0o400;
/// The write bits of a mode (chmod(2)).
const ANY_WRITE: u32 = 0o222;

/// The layers in the folder of a kept disk: `disk.qcow2`, `disk-1.qcow2`, ... The guest writes to the active one, named
/// in `layers.json`; without that file, to the first.
#[derive(Debug, Clone)]
pub struct Layers {
    folder: Utf8PathBuf,
}

/// `layers.json`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The layer that the guest writes to.
    pub(crate) active: u32,
    /// The lowest layer, which lies on an image or a template.
    pub(crate) bottom: u32,
}

impl Layers {
    /// The layers in this folder.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    fn note_file(&self) -> Utf8PathBuf {
        self.folder.join("layers.json")
    }

    pub(crate) fn note(&self) -> Result<Note, Error> {
        let path = self.note_file();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::io("read", &path, e.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Note::default()),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    pub(crate) fn write(&self, note: Note) -> Result<(), Error> {
        let path = self.note_file();
        let text = serde_json::to_vec(&note).map_err(|e| Error::io("write", &path, e.into()))?;
        Replace::new(&path).mode(0o600).write(text).map_err(|e| Error::io("write", &path, e))
    }

    /// The number of the active layer.
    pub fn number(&self) -> Result<u32, Error> {
        self.note().map(|note| note.active)
    }

    /// How many layers there are.
    pub fn height(&self) -> Result<u32, Error> {
        self.note().map(|note| note.active.saturating_sub(note.bottom) + 1)
    }

    /// The file of a layer.
    pub fn file(&self, number: u32) -> Utf8PathBuf {
        self.folder.join(name(number))
    }

    /// The file that the guest writes to; it may not exist yet.
    pub fn active(&self) -> Result<Utf8PathBuf, Error> {
        Ok(self.file(self.number()?))
    }

    /// The layer beneath the active one; `None` if that lies on a template or an image.
    pub fn backing_layer(&self) -> Result<Option<Utf8PathBuf>, Error> {
        let note = self.note()?;
        Ok((note.active > note.bottom).then(|| self.file(note.active - 1)))
    }

    /// The name of a layer's backing file, if the lowest layer lies on `on`.
    pub(crate) fn backing_name_of(&self, number: u32, on: &Utf8Path) -> Result<String, Error> {
        let is_lowest = number <= self.note()?.bottom;
        let on = on.file_name().unwrap_or_default().to_owned();
        Ok(if is_lowest { on } else { name(number - 1) })
    }

    fn activate(&self, number: u32) -> Result<(), Error> {
        let note = self.note()?;
        self.write(Note { active: number, ..note })
    }

    /// Creates an empty layer over layer `number`, which a machine may be writing, and activates it. An existing file
    /// of its name was never used and is replaced.
    pub(crate) fn put_on(&self, number: u32, bytes: u64) -> Result<Utf8PathBuf, Error> {
        let file = self.file(number + 1);
        remove(&file)?;
        overlay_of_size(&file, &name(number), bytes)?;
        File::open(&file).and_then(|file| file.sync_all()).map_err(|e| Error::io("write", &file, e))?;
        self.activate(number + 1)?;
        Ok(file)
    }

    /// Undoes [`Layers::put_on`], if nothing has been written to the new layer.
    pub(crate) fn take_off(&self, number: u32) -> Result<(), Error> {
        self.activate(number)?;
        remove(&self.file(number + 1))
    }

    /// Freezes the disk of a machine that is not running; returns the number of its highest frozen layer. If the active
    /// layer was never written, that is the layer beneath it, or `None` if there is none.
    pub fn freeze(&self, on: &Utf8Path) -> Result<Option<u32>, Error> {
        let number = self.number()?;
        let active = self.file(number);
        let top = if active.exists() {
            set_backing(&active, Utf8Path::new(&self.backing_name_of(number, on)?))?;
            // Activate first, then change the mode: the active layer must always be writable. The next start creates
            // its file.
            self.activate(number + 1)?;
            Some(number)
        } else {
            (number > self.note()?.bottom).then(|| number - 1)
        };
        // Protect the lower layers too: an earlier freeze may have been killed in between.
        if let Some(top) = top {
            (self.note()?.bottom..=top).try_for_each(|number| self.protect(number))?;
        }
        Ok(top)
    }

    /// Replaces each frozen layer that a running QEMU has written by a copy: whatever a guest that has taken over that
    /// QEMU does with the open file, the layer that others may lie on is another file, which no QEMU could ever write.
    pub(crate) fn part(&self, top: u32) -> Result<(), Error> {
        (self.note()?.bottom..=top).map(|number| self.file(number)).try_for_each(|file| {
            let from = File::open(&file).map_err(|e| Error::io("read", &file, e))?;
            let about = from.metadata().map_err(|e| Error::io("inspect", &file, e))?;
            if about.mode() & ANY_WRITE == 0 {
                return Ok(());
            }
            let parted = Replace::new(&file).mode(FROZEN).write_with(|to| copy_sparse(&from, to));
            parted.map_err(|e| Error::io("copy", &file, e))
        })
    }

    /// Marks a layer that no QEMU has open as one that others may lie on; this also protects it from mistakes of this
    /// process.
    fn protect(&self, number: u32) -> Result<(), Error> {
        let file = self.file(number);
        fs::set_permissions(&file, fs::Permissions::from_mode(FROZEN))
            .map_err(|e| Error::io("protect", &file, e))
    }

    /// Merges all layers into one over `on`, for a machine that is not running. Others keep their links to the lower
    /// ones.
    pub fn collapse(&self, on: &Utf8Path) -> Result<(), Error> {
        let note = self.note()?;
        let active = self.file(note.active);
        if note.active == note.bottom || !active.exists() {
            return Ok(());
        }
        self.check_names(note, on)?;
        // Data that both have in common are not copied; if this is interrupted, the disk's contents are still the same.
        move_to_base(&active, on)?;
        self.write(Note { active: note.active, bottom: note.active })?;
        (note.bottom..note.active).try_for_each(|number| remove(&self.file(number)))
    }

    /// Checks that each layer lies on the one beneath it and names no other file: a program that reads all layers may
    /// have access to every file of its user.
    fn check_names(&self, note: Note, on: &Utf8Path) -> Result<(), Error> {
        let named = |number| {
            let file = self.file(number);
            let named = File::open(&file).and_then(|file| header::backing_name(&file));
            named.map_err(|e| Error::io("read", &file, e))
        };
        named(note.active)?;
        // The active layer names its backing file with a folder, which may have moved.
        let backing = self.backing_name_of(note.active, on)?;
        set_backing(&self.file(note.active), Utf8Path::new(&backing))?;
        (note.bottom..=note.active).try_for_each(|number| {
            let (found, expected) = (named(number)?, self.backing_name_of(number, on)?);
            if found == expected {
                return Ok(());
            }
            let why =
                format!("its backing file is {found:?} instead of {expected}: its sandbox's QEMU changed it");
            Err(Error::io("read", self.file(number), io::Error::other(why)))
        })
    }

    /// What the layers use on the host, bytes: the size of a file with several hard links is divided among them.
    pub fn size(&self) -> u64 {
        (0..=self.number().unwrap_or_default()).map(|number| share(&self.file(number))).sum()
    }
}

/// What a file uses on the host, divided by the number of its hard links, bytes.
pub fn share(file: &Utf8Path) -> u64 {
    // Blocks have 512 bytes (stat(2)).
    fs::metadata(file).map(|about| about.blocks() * 512 / about.nlink().max(1)).unwrap_or_default()
}

fn name(number: u32) -> String {
    if number == 0 { "disk.qcow2".to_owned() } else { format!("disk-{number}.qcow2") }
}

#[cfg(test)]
mod tests;
