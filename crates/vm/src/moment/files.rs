//! The files of a moment.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::shape::Shape;
use crate::Error;
use crate::accel::Engine;
use crate::argv::qemu_argv;
use crate::files::make_private_dir;
use crate::layers::{self, Layers};
use crate::machine::{Machine, Memory};
use crate::prepare::remove;
use crate::qemu::Qemu;
use crate::template::{Damage, Fingerprint, hexadecimal};

/// The schema version of the note.
const SCHEMA: u32 = 1;

/// A machine at one moment.
///
/// | file | content |
/// | --- | --- |
/// | `base.*`, `base.json`, `manifest.json` | the image, its note, and what was built |
/// | `template.qcow2` | a clone's copy of its template's disk |
/// | `disk*.qcow2` | the frozen layers of the disk ([`Layers`]) |
/// | `memory`, `devices` | of a running machine: its memory, and the state of its devices |
/// | `moment.json` | describes the others; written last |
#[derive(Debug, Clone)]
pub struct Moment {
    folder: Utf8PathBuf,
}

/// `moment.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) schema: u32,
    /// The highest frozen layer; `None` if the disk was never written.
    pub(super) top: Option<u32>,
    /// The lowest layer.
    pub(super) bottom: u32,
    pub(super) running: Option<Running>,
}

/// What was saved of a running machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) shape: Shape,
    pub(super) memory: Fingerprint,
    /// SHA-256, hexadecimal.
    pub(super) devices: String,
}

/// What a moment contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Saved {
    /// Only the disk.
    Disk,
    /// Disk and memory.
    Memory,
}

impl Saved {
    /// Its name in files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

impl Moment {
    /// The moment in this folder, which need not exist.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The file of the memory.
    pub fn memory(&self) -> Utf8PathBuf {
        self.folder.join("memory")
    }

    pub(crate) fn devices(&self) -> Utf8PathBuf {
        self.folder.join("devices")
    }

    fn note_file(&self) -> Utf8PathBuf {
        self.folder.join("moment.json")
    }

    /// Whether there is a moment, even a damaged one.
    pub fn exists(&self) -> bool {
        self.note_file().exists()
    }

    pub(super) fn note(&self) -> Result<Note, Damage> {
        let path = self.note_file();
        let text = fs::read(&path).map_err(|error| Damage::of(&path, error))?;
        let note: Note = serde_json::from_slice(&text).map_err(|error| Damage::of(&path, error))?;
        if note.schema == SCHEMA {
            Ok(note)
        } else {
            Err(Damage::of(&path, "it was written by another version"))
        }
    }

    /// Checks that its files are unchanged since they were saved; returns what it contains.
    pub fn check(&self) -> Result<Saved, Damage> {
        let note = self.note()?;
        let layers = Layers::at(&self.folder);
        if let Some(file) = note.top.map(|top| layers.file(top)) {
            fs::metadata(&file).map_err(|error| Damage::of(&file, error))?;
        }
        let Some(running) = note.running else { return Ok(Saved::Disk) };
        let memory = self.memory();
        let found = Fingerprint::of(&memory).map_err(|error| Damage::of(&memory, error))?;
        if found != running.memory {
            return Err(Damage::of(&memory, "it has changed since it was saved"));
        }
        let devices = self.devices();
        let bytes = fs::read(&devices).map_err(|error| Damage::of(&devices, error))?;
        if hexadecimal(&Sha256::digest(&bytes)) == running.devices {
            Ok(Saved::Memory)
        } else {
            Err(Damage::of(&devices, "it has changed since it was saved"))
        }
    }

    /// The machine, set up to resume from here under this QEMU, or why it cannot resume.
    pub fn machine(&self, machine: &Machine, engine: Engine, qemu: &Qemu) -> Result<Machine, Error> {
        let unfit = |why: String| Error::BadMachine { name: machine.name.clone(), why };
        self.check().map_err(|damage| unfit(format!("the saved state is damaged: {damage}")))?;
        let note = self.note().map_err(|damage| unfit(damage.to_string()))?;
        let running = note.running.ok_or_else(|| unfit("its memory was not saved".to_owned()))?;
        let memory = Memory::Resumed { file: self.memory(), has_generation: running.shape.has_generation() };
        let machine = Machine { kind: Some(running.shape.kind.clone()), memory, ..machine.clone() };
        if Shape::of(&qemu_argv(&machine, engine), qemu.build()?) == running.shape {
            Ok(machine)
        } else {
            Err(unfit("QEMU or this host has changed since it was saved".to_owned()))
        }
    }

    /// Takes the disk of a stopped machine, or the frozen layers of a running one, as hard links.
    pub fn take_disk(&self, layers: &Layers, top: Option<u32>) -> Result<(), Error> {
        make_private_dir(&self.folder)?;
        link_disk(layers, layers.note()?.bottom, top, &self.folder)
    }

    /// Writes the note; the moment exists from then on.
    pub fn finish(&self, layers: &Layers, top: Option<u32>) -> Result<(), Error> {
        self.write(&Note { schema: SCHEMA, top, bottom: layers.note()?.bottom, running: None })
    }

    /// The same for a running machine, whose memory and devices have been written.
    pub(super) fn finish_running(&self, layers: &Layers, top: u32, shape: Shape) -> Result<(), Error> {
        let (memory, devices) = (self.memory(), self.devices());
        for file in [&memory, &devices] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o400))
                .map_err(|e| Error::io("protect", file, e))?;
        }
        let bytes = fs::read(&devices).map_err(|e| Error::io("read", &devices, e))?;
        let running = Running {
            shape,
            memory: Fingerprint::of(&memory).map_err(|e| Error::io("inspect", &memory, e))?,
            devices: hexadecimal(&Sha256::digest(&bytes)),
        };
        let bottom = layers.note()?.bottom;
        self.write(&Note { schema: SCHEMA, top: Some(top), bottom, running: Some(running) })
    }

    fn write(&self, note: &Note) -> Result<(), Error> {
        let path = self.note_file();
        let text = serde_json::to_vec_pretty(note).map_err(|e| Error::io("write", &path, e.into()))?;
        Replace::new(&path).mode(0o400).write(text).map_err(|e| Error::io("write", &path, e))
    }

    /// Links this disk into another folder, where it gets a new active layer; returns the moment in that folder.
    pub fn begin_disk(&self, folder: &Utf8Path) -> Result<Self, Error> {
        make_private_dir(folder)?;
        let failed =
            |damage: Damage| Error::io("read", self.note_file(), std::io::Error::other(damage.to_string()));
        let note = self.note().map_err(failed)?;
        link_disk(&Layers::at(&self.folder), note.bottom, note.top, folder)?;
        let active = note.top.map_or(note.bottom, |top| top + 1);
        Layers::at(folder).write(layers::Note { active, bottom: note.bottom })?;
        Ok(Self::at(folder))
    }

    /// Links what is needed to resume into that folder. The note comes last: once it exists, the machine there can
    /// resume.
    pub fn hold_in(&self, folder: &Utf8Path) -> Result<(), Error> {
        let other = Self::at(folder);
        for (from, to) in [
            (self.memory(), other.memory()),
            (self.devices(), other.devices()),
            (self.note_file(), other.note_file()),
        ] {
            link(&from, &to)?;
        }
        Ok(())
    }

    /// Removes what is only needed to resume. The memory stays as long as a machine maps it: a freeze of that machine
    /// starts from it.
    pub fn forget(&self) -> Result<(), Error> {
        remove(&self.note_file())?;
        remove(&self.devices())
    }
}

/// Hard links to the layer `top` and to everything beneath it.
fn link_disk(layers: &Layers, bottom: u32, top: Option<u32>, to: &Utf8Path) -> Result<(), Error> {
    let from = layers.folder();
    let entries = from.read_dir_utf8().map_err(|e| Error::io("list", from, e))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_owned());
    let mut names: Vec<String> = names
        .filter(|name| {
            (name.starts_with("base.") || name == "manifest.json" || name == "template.qcow2")
                && !name.starts_with('.')
        })
        .collect();
    names.extend(
        (bottom..top.map_or(bottom, |top| top + 1))
            .filter_map(|number| layers.file(number).file_name().map(str::to_owned)),
    );
    names.iter().try_for_each(|name| link(&from.join(name), &to.join(name)))
}

/// A hard link that replaces an existing file.
fn link(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    remove(to)?;
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound && from.file_name() != Some("base.json") => {
            // A moment of only the disk has neither memory nor devices.
            let is_optional = matches!(from.file_name(), Some("memory" | "devices"));
            if is_optional { Ok(()) } else { Err(Error::io("create", to, error)) }
        }
        result => result.map_err(|e| Error::io("create", to, e)),
    }
}
