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

/// The version of the note.
const SCHEMA: u32 = 1;

/// A machine at one moment.
///
/// | file | what |
/// | --- | --- |
/// | `base.*`, `base.json`, `manifest.json` | the image, its note, and what was built |
/// | `template.qcow2` | what a clone has of its template |
/// | `disk*.qcow2` | the disk's layers ([`Layers`]), frozen |
/// | `memory`, `devices` | where it ran: its memory, and the state of its devices |
/// | `moment.json` | what they are; written last |
#[derive(Debug, Clone)]
pub struct Moment {
    folder: Utf8PathBuf,
}

/// `moment.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) schema: u32,
    /// The highest frozen layer; none where the disk was never written.
    pub(super) top: Option<u32>,
    /// The lowest layer.
    pub(super) bottom: u32,
    pub(super) running: Option<Running>,
}

/// What was saved of a machine that ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) shape: Shape,
    pub(super) memory: Fingerprint,
    /// SHA-256, hexadecimal.
    pub(super) devices: String,
}

/// What a moment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Saved {
    /// The disk alone.
    Disk,
    /// Disk and memory.
    Memory,
}

impl Saved {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

impl Moment {
    /// The one in this folder, which need not be there.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The memory.
    pub fn memory(&self) -> Utf8PathBuf {
        self.folder.join("memory")
    }

    pub(crate) fn devices(&self) -> Utf8PathBuf {
        self.folder.join("devices")
    }

    fn note_file(&self) -> Utf8PathBuf {
        self.folder.join("moment.json")
    }

    /// Whether there is one, be it damaged.
    pub fn exists(&self) -> bool {
        self.note_file().exists()
    }

    pub(super) fn note(&self) -> Result<Note, Damage> {
        let path = self.note_file();
        let text = fs::read(&path).map_err(|error| Damage::of(&path, error))?;
        let note: Note = serde_json::from_slice(&text).map_err(|error| Damage::of(&path, error))?;
        if note.schema == SCHEMA { Ok(note) } else { Err(Damage::of(&path, "it is of another version")) }
    }

    /// Whether its files are those that were saved; what it has.
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
            return Err(Damage::of(&memory, "it was changed since it was saved"));
        }
        let devices = self.devices();
        let bytes = fs::read(&devices).map_err(|error| Damage::of(&devices, error))?;
        if hexadecimal(&Sha256::digest(&bytes)) == running.devices {
            Ok(Saved::Memory)
        } else {
            Err(Damage::of(&devices, "it was changed since it was saved"))
        }
    }

    /// The machine as one that goes on from here under this QEMU; why it cannot.
    pub fn machine(&self, machine: &Machine, engine: Engine, qemu: &Qemu) -> Result<Machine, Error> {
        let unfit = |why: String| Error::BadMachine { name: machine.name.clone(), why };
        self.check().map_err(|damage| unfit(format!("what was saved is damaged: {damage}")))?;
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

    /// Takes the disk of a machine that does not run, or the frozen layers of one that does: as second names.
    pub fn take_disk(&self, layers: &Layers, top: Option<u32>) -> Result<(), Error> {
        make_private_dir(&self.folder)?;
        link_disk(layers, layers.note()?.bottom, top, &self.folder)
    }

    /// Writes what it is; it is there from then on.
    pub fn finish(&self, layers: &Layers, top: Option<u32>) -> Result<(), Error> {
        self.write(&Note { schema: SCHEMA, top, bottom: layers.note()?.bottom, running: None })
    }

    /// The same for a machine that ran, whose memory and devices are written.
    pub(super) fn finish_running(&self, layers: &Layers, top: u32, shape: Shape) -> Result<(), Error> {
        let (memory, devices) = (self.memory(), self.devices());
        for file in [&memory, &devices] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o400))
                .map_err(|e| Error::io("protect", file, e))?;
        }
        let bytes = fs::read(&devices).map_err(|e| Error::io("read", &devices, e))?;
        let running = Running {
            shape,
            memory: Fingerprint::of(&memory).map_err(|e| Error::io("look at", &memory, e))?,
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

    /// Puts what is on this disk into another folder, as a disk that is written from here on; what is there is a new folder's.
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

    /// Holds in that folder what going on needs. The note last: with it there is something to go on from.
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

    /// Lets go of what only going on needs. The memory stays as long as a machine maps it: it is what a freeze of that machine begins with.
    pub fn forget(&self) -> Result<(), Error> {
        remove(&self.note_file())?;
        remove(&self.devices())
    }
}

/// Second names of everything that lies beneath the layer `top` and of it.
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

/// A second name, in the place of what has it.
fn link(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    remove(to)?;
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound && from.file_name() != Some("base.json") => {
            // A moment of a disk alone has neither memory nor devices.
            let is_optional = matches!(from.file_name(), Some("memory" | "devices"));
            if is_optional { Ok(()) } else { Err(Error::io("make", to, error)) }
        }
        result => result.map_err(|e| Error::io("make", to, e)),
    }
}
