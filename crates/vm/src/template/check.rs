//! Checks whether a template is unchanged since it was saved. Its memory is too large to be read at each start, so the
//! check uses its size and modification time, which does not change without a write (inode(7)).

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files::Template;
use super::key::{Key, hexadecimal};
use super::recipe::devices;
use crate::Error;
use crate::accel::Engine;
use crate::machine::{Machine, Memory};
use crate::qemu::Qemu;

/// The schema version of a template's folder.
const SCHEMA: u32 = 1;

/// `template.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    schema: u32,
    key: Key,
    memory: Fingerprint,
    disk: Fingerprint,
    /// SHA-256 of the state of the devices, hexadecimal.
    devices: String,
}

/// Identifies an unmodified file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    bytes: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

/// Describes how a template is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage(String);

impl Damage {
    pub(crate) fn of(path: &Utf8Path, why: impl fmt::Display) -> Self {
        Self(format!("{path}: {why}"))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Fingerprint {
    pub(crate) fn of(path: &Utf8Path) -> std::io::Result<Self> {
        let about = fs::metadata(path)?;
        Ok(Self { bytes: about.len(), modified: (about.mtime(), about.mtime_nsec()) })
    }
}

impl Description {
    /// Describes files that will not be written again.
    pub(super) fn of(template: &Template, key: Key) -> Result<Self, Error> {
        let fingerprint = |path: &Utf8Path| Fingerprint::of(path).map_err(|e| Error::io("inspect", path, e));
        let devices = template.devices();
        let bytes = fs::read(&devices).map_err(|e| Error::io("read", &devices, e))?;
        Ok(Self {
            schema: SCHEMA,
            key,
            memory: fingerprint(&template.memory())?,
            disk: fingerprint(&template.disk())?,
            devices: hexadecimal(&Sha256::digest(&bytes)),
        })
    }
}

impl Template {
    /// Checks whether a machine can resume from it under this QEMU; returns the versioned machine type to use.
    pub fn fits(&self, machine: &Machine, engine: Engine, qemu: &Qemu) -> Result<String, Error> {
        let unfit = |why: &str| Error::BadMachine { name: machine.name.clone(), why: why.to_owned() };
        let key = self.check().map_err(|damage| unfit(&format!("its template is damaged: {damage}")))?;
        let here = key.clone().with_host(&qemu.build()?, engine);
        if here != key {
            return Err(unfit("QEMU or this host has changed since its template was made"));
        }
        let memory = Memory::CopyOf(self.memory());
        let machine = Machine { kind: Some(key.machine.clone()), memory, ..machine.clone() };
        let is_same = (machine.memory_mib, machine.cpus) == (key.memory_mib, key.cpus)
            && devices(&machine, engine) == key.devices;
        if is_same { Ok(key.machine) } else { Err(unfit("its template is for another machine")) }
    }

    fn description(&self) -> Result<Description, Damage> {
        let path = self.description_file();
        let text = fs::read(&path).map_err(|error| Damage::of(&path, error))?;
        let description: Description =
            serde_json::from_slice(&text).map_err(|error| Damage::of(&path, error))?;
        if description.schema == SCHEMA {
            Ok(description)
        } else {
            Err(Damage::of(&path, "it was written by another version"))
        }
    }

    /// Checks that its files are unchanged since they were saved; returns the template's key.
    pub fn check(&self) -> Result<Key, Damage> {
        let description = self.description()?;
        for (path, saved) in [(self.memory(), description.memory), (self.disk(), description.disk)] {
            let found = Fingerprint::of(&path).map_err(|error| Damage::of(&path, error))?;
            if found != saved {
                return Err(Damage::of(&path, "it has changed since it was saved"));
            }
        }
        let devices = self.devices();
        let bytes = fs::read(&devices).map_err(|error| Damage::of(&devices, error))?;
        if hexadecimal(&Sha256::digest(&bytes)) != description.devices {
            return Err(Damage::of(&devices, "it has changed since it was saved"));
        }
        Ok(description.key)
    }
}
