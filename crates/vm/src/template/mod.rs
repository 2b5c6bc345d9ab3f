//! Templates: machines that were booted to the barrier of their guest and saved there, for clones to go on from.
//!
//! - [`Recipe`], [`Key`]: what a template is made of, and what a clone must have in common with it.
//! - [`Templates`]: those of a state folder; whole or not there.
//! - [`make`]: boots one and saves it.
//! - [`Template::hold_in`]: what a clone needs, in its own folder.
//! - [`crate::standalone::Standalone::start_clone`]: a clone.

mod barrier;
mod check;
mod key;
mod make;
mod recipe;
mod save;
mod store;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::prepare::remove;

pub(crate) use barrier::begin;
pub use barrier::renew;
pub use check::Damage;
pub use key::{Key, KeyId};
pub use make::{Making, make};
pub use recipe::Recipe;
pub(crate) use save::restore;
pub use store::{Found, TemplateLock, Templates};

/// The version of what a template's folder holds.
const SCHEMA: u32 = 1;

/// The systemd credential that a template's guest is told by to stop at its barrier.
const CREDENTIAL: &str = "rave.template";

/// The files of a template, in its folder or in a clone's.
///
/// | file | what |
/// | --- | --- |
/// | `base.qcow2` | the image; its note is `base.json` ([`crate::kept`]) |
/// | `template.qcow2` | what was written until the barrier, over the image |
/// | `memory` | the guest's memory |
/// | `devices` | the state of its devices |
/// | `template.json` | what they are; written last |
#[derive(Debug, Clone)]
pub struct Template {
    folder: Utf8PathBuf,
}

/// `template.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    schema: u32,
    pub(crate) key: Key,
    memory: check::Fingerprint,
    disk: check::Fingerprint,
    /// SHA-256 of the state of the devices, hexadecimal.
    devices: String,
}

impl Template {
    /// The one in this folder, which need not be there.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The image that the disk lies on.
    pub fn base(&self) -> Utf8PathBuf {
        self.folder.join("base.qcow2")
    }

    /// What a clone's disk lies on.
    pub fn disk(&self) -> Utf8PathBuf {
        self.folder.join("template.qcow2")
    }

    /// The memory.
    pub fn memory(&self) -> Utf8PathBuf {
        self.folder.join("memory")
    }

    pub(crate) fn devices(&self) -> Utf8PathBuf {
        self.folder.join("devices")
    }

    fn description_file(&self) -> Utf8PathBuf {
        self.folder.join("template.json")
    }

    pub(crate) fn description(&self) -> Result<Description, Damage> {
        let path = self.description_file();
        let text = fs::read(&path).map_err(|error| Damage::of(&path, error))?;
        let description: Description =
            serde_json::from_slice(&text).map_err(|error| Damage::of(&path, error))?;
        if description.schema == SCHEMA {
            Ok(description)
        } else {
            Err(Damage::of(&path, "it is of another version"))
        }
    }

    /// Holds in a clone's folder, which has the image already, what its start needs: by second names, which stay when the
    /// template is removed.
    pub fn hold_in(&self, folder: &Utf8Path) -> Result<Self, Error> {
        let clone = Self::at(folder);
        // The disk last: with it there is a clone to start.
        let files = [
            (self.memory(), clone.memory()),
            (self.devices(), clone.devices()),
            (self.description_file(), clone.description_file()),
            (self.disk(), clone.disk()),
        ];
        for (from, to) in files {
            remove(&to)?;
            fs::hard_link(&from, &to).map_err(|e| Error::io("make", &to, e))?;
        }
        Ok(clone)
    }

    /// Lets go of what only a clone's first start needs.
    pub fn forget_memory(&self) -> Result<(), Error> {
        remove(&self.memory())?;
        remove(&self.devices())?;
        remove(&self.description_file())
    }

    /// Lets go of all of it: what lies on this disk must be gone by then.
    pub fn forget(&self) -> Result<(), Error> {
        remove(&self.disk())?;
        self.forget_memory()
    }
}
