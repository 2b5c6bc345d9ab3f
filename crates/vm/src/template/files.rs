//! Where the files of a template lie.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;
use crate::prepare::remove;

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

impl Template {
    /// The one in this folder, which need not be there.
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

    pub(super) fn description_file(&self) -> Utf8PathBuf {
        self.folder.join("template.json")
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

    /// Lets go of what only a clone's first start needs. The memory stays as long as the clone maps it: it is what a freeze of the
    /// clone begins with ([`crate::moment`]).
    pub fn forget_devices(&self) -> Result<(), Error> {
        remove(&self.devices())?;
        remove(&self.description_file())
    }

    /// Lets go of what only a clone that runs needs.
    pub fn forget_memory(&self) -> Result<(), Error> {
        remove(&self.memory())?;
        self.forget_devices()
    }

    /// Lets go of all of it: what lies on this disk must be gone by then.
    pub fn forget(&self) -> Result<(), Error> {
        remove(&self.disk())?;
        self.forget_memory()
    }
}
