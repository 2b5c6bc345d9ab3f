//! The archive of inputs as files of the release.

use std::fs;

use camino::Utf8Path;
use rave_image::inputs::Input;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::error::{Error, IoContext as _};
use crate::inputs::{Entry, Index, entries, sources, write};
use crate::manifest::ReleaseFile;
use crate::names;
use crate::parts::{self, write_whole};

/// The archive and its content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Packed {
    pub(super) file: ReleaseFile,
    pub(super) entries: Vec<Entry>,
}

/// Writes the archive and the list of sources.
pub(super) fn pack(plan: &Plan, inputs: &[Input], folder: &Utf8Path) -> Result<Packed, Error> {
    let packed = archive(plan, inputs, folder)?;
    write_whole(&folder.join(names::SOURCES), sources(inputs)?.as_bytes())?;
    Ok(packed)
}

/// Writes the archive, split if it is too large.
pub(super) fn archive(plan: &Plan, inputs: &[Input], folder: &Utf8Path) -> Result<Packed, Error> {
    let name = names::inputs(&plan.version).map_err(|why| Error::damaged("the release's version", why))?;
    let index = Index::new(entries(inputs)?);
    let whole = folder.join(format!("{name}.partial"));
    let written = write(inputs, &index, plan.epoch, &whole)?;
    let file = if written.size > plan.part_limit {
        let copied = parts::copy(&whole, folder, &name, plan.part_limit)?;
        fs::remove_file(&whole).at("remove", &whole)?;
        ReleaseFile { name, size: copied.size, sha256: copied.sha256, unpacked: None, parts: copied.parts }
    } else {
        let place = folder.join(name.as_str());
        fs::rename(&whole, &place).at("rename into", &place)?;
        ReleaseFile { name, size: written.size, sha256: written.sha256, unpacked: None, parts: Vec::new() }
    };
    Ok(Packed { file, entries: index.inputs })
}
