//! Where the files of a template are.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;
use crate::prepare::remove;

/// The files of a template, in its folder or in a clone's.
///
/// | file | content |
/// | --- | --- |
/// | `base.qcow2` | the image; its note is `base.json` ([`crate::kept`]) |
/// | `template.qcow2` | everything written up to the barrier, over the image |
/// | `memory` | the guest's memory |
/// | `devices` | the state of its devices |
/// | `template.json` | describes the others; written last |
#[derive(Debug, Clone)]
pub struct Template {
    folder: Utf8PathBuf,
}

impl Template {
    /// The template in this folder, which need not exist.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The image that the disk lies on.
    pub fn base(&self) -> Utf8PathBuf {
        self.folder.join("base.qcow2")
    }

    /// The base of a clone's disk.
    pub fn disk(&self) -> Utf8PathBuf {
        self.folder.join("template.qcow2")
    }

    /// The file of the memory.
    pub fn memory(&self) -> Utf8PathBuf {
        self.folder.join("memory")
    }

    pub(crate) fn devices(&self) -> Utf8PathBuf {
        self.folder.join("devices")
    }

    pub(super) fn description_file(&self) -> Utf8PathBuf {
        self.folder.join("template.json")
    }

    /// Links everything that a clone needs to start into its folder, which already has the image. The hard links stay
    /// when the template is removed.
    pub fn hold_in(&self, folder: &Utf8Path) -> Result<Self, Error> {
        let clone = Self::at(folder);
        // The disk last: once it exists, the clone can be started.
        let files = [
            (self.memory(), clone.memory()),
            (self.devices(), clone.devices()),
            (self.description_file(), clone.description_file()),
            (self.disk(), clone.disk()),
        ];
        for (from, to) in files {
            remove(&to)?;
            fs::hard_link(&from, &to).map_err(|e| Error::io("create", &to, e))?;
        }
        Ok(clone)
    }

    /// Removes what is only needed for a clone's first start. The memory stays as long as the clone maps it: a freeze
    /// of the clone starts from it ([`crate::moment`]).
    pub fn forget_devices(&self) -> Result<(), Error> {
        remove(&self.devices())?;
        remove(&self.description_file())
    }

    /// Removes what only a running clone needs.
    pub fn forget_memory(&self) -> Result<(), Error> {
        remove(&self.memory())?;
        self.forget_devices()
    }

    /// Removes all of it: any layers on this disk must already be gone.
    pub fn forget(&self) -> Result<(), Error> {
        remove(&self.disk())?;
        self.forget_memory()
    }
}
