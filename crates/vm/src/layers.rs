//! The files of a disk that was frozen, one upon the other: the lower ones are never written again, and may have second names in
//! other folders. Each names the one beneath it by its name alone.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::prepare::{overlay_of_size, remove, set_backing};

/// More make each read of the guest slow: every file is looked into in turn.
pub const MOST: u32 = 24;

/// The layers in the folder of a kept disk: `disk.qcow2`, `disk-1.qcow2`, ... The guest writes the one that `layers.json` names, the
/// first where there is no such note.
#[derive(Debug, Clone)]
pub struct Layers {
    folder: Utf8PathBuf,
}

/// `layers.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    active: u32,
}

impl Layers {
    /// Those of this folder.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    fn note(&self) -> Utf8PathBuf {
        self.folder.join("layers.json")
    }

    /// The number of the layer that the guest writes.
    pub fn number(&self) -> Result<u32, Error> {
        let path = self.note();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let note: Note = serde_json::from_slice(&bytes).map_err(|e| Error::io("read", &path, e.into()))?;
        Ok(note.active)
    }

    /// The file of a layer.
    pub fn file(&self, number: u32) -> Utf8PathBuf {
        self.folder.join(name(number))
    }

    /// What the guest writes; it may not be there yet.
    pub fn active(&self) -> Result<Utf8PathBuf, Error> {
        Ok(self.file(self.number()?))
    }

    /// The layer beneath that; nothing where it lies on a template or an image.
    pub fn beneath(&self) -> Result<Option<Utf8PathBuf>, Error> {
        Ok(self.number()?.checked_sub(1).map(|number| self.file(number)))
    }

    /// From now on this layer is written.
    pub fn activate(&self, number: u32) -> Result<(), Error> {
        let path = self.note();
        let text = serde_json::to_vec(&Note { active: number }).map_err(|e| Error::io("write", &path, e.into()))?;
        Replace::new(&path).mode(0o600).write(text).map_err(|e| Error::io("write", &path, e))
    }

    /// Makes an empty layer over layer `number`, which a machine may be writing, and activates it. What is there under its name was
    /// never used.
    pub(crate) fn put_on(&self, number: u32, bytes: u64) -> Result<Utf8PathBuf, Error> {
        let file = self.file(number + 1);
        remove(&file)?;
        overlay_of_size(&file, &name(number), bytes)?;
        File::open(&file).and_then(|file| file.sync_all()).map_err(|e| Error::io("write", &file, e))?;
        self.activate(number + 1)?;
        Ok(file)
    }

    /// Takes back [`Layers::put_on`], where nothing has been written to the new layer.
    pub(crate) fn take_off(&self, number: u32) -> Result<(), Error> {
        self.activate(number)?;
        remove(&self.file(number + 1))
    }

    /// Freezes the disk of a machine that does not run; the number of its highest frozen layer. Nothing where it was never
    /// written, for it is as the layer beneath it.
    pub fn freeze(&self, on: &Utf8Path) -> Result<Option<u32>, Error> {
        let number = self.number()?;
        let active = self.file(number);
        if !active.exists() {
            return Ok(number.checked_sub(1));
        }
        let beneath = number.checked_sub(1).map(|number| Utf8PathBuf::from(name(number)));
        let beneath = beneath.or_else(|| on.file_name().map(Utf8PathBuf::from)).unwrap_or_default();
        set_backing(&active, &beneath)?;
        self.protect(number)?;
        // The next start makes the file.
        self.activate(number + 1)?;
        Ok(Some(number))
    }

    /// Keeps this process's own mistakes from a layer that others may lie on.
    pub(crate) fn protect(&self, number: u32) -> Result<(), Error> {
        let file = self.file(number);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).map_err(|e| Error::io("protect", &file, e))
    }

    /// What the layers take on the host, bytes: a file with second names counts for each of them in equal parts.
    pub fn size(&self) -> u64 {
        (0..=self.number().unwrap_or_default()).map(|number| share(&self.file(number))).sum()
    }
}

/// What a file takes on the host, divided by its names, bytes.
pub fn share(file: &Utf8Path) -> u64 {
    // Blocks are of 512 bytes (stat(2)).
    fs::metadata(file).map(|about| about.blocks() * 512 / about.nlink().max(1)).unwrap_or_default()
}

fn name(number: u32) -> String {
    if number == 0 { "disk.qcow2".to_owned() } else { format!("disk-{number}.qcow2") }
}
