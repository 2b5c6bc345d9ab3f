//! The stream-optimised VMDK that lies in every OVA: its grains are compressed and follow each other, so that a hypervisor
//! can take it from a stream (VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents").

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{Source, Workshop, settle_vmdk, vmdk_commands};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};

/// The name of this stage.
pub const STAGE: &str = "vmdk";

const IMAGE: &str = "disk.vmdk";
const DESCRIPTION: &str = "disk.json";

/// A finished VMDK, kept in the store: two formats are made of it, and its compression is the longest of all work on them.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) path: Utf8PathBuf,
    pub(crate) sha256: Digest,
    /// Bytes of the file.
    pub(crate) size: u64,
}

#[derive(Serialize, Deserialize)]
struct Description {
    sha256: Digest,
    size: u64,
}

/// What it is called in a package.
pub(crate) fn name(stem: &str) -> String {
    format!("{stem}-disk1.vmdk")
}

/// qemu-img's words.
pub fn commands(source: &Source, target: &Utf8Path, size: u64) -> Vec<Vec<String>> {
    vmdk_commands(source, target, size, "streamOptimized")
}

pub(super) fn make(workshop: &Workshop<'_>) -> Result<Stream, Error> {
    let recipe = &workshop.recipe;
    let name = name(&recipe.stem);
    let mut hasher = Hasher::default();
    hasher.field("disk", recipe.identity.bytes());
    hasher.field("name", name.as_bytes());
    let nowhere = Source { path: Utf8PathBuf::new(), ..workshop.source };
    for argument in commands(&nowhere, "".into(), recipe.size).iter().flatten() {
        hasher.field("argument", argument.as_bytes());
    }
    let entry = workshop.stages.run(STAGE, &hasher.finish(), |pending| {
        let target = pending.file(IMAGE);
        workshop.run(STAGE, &commands(&workshop.source, &target, recipe.size))?;
        settle_vmdk(&target, &name, &recipe.identity)?;
        let sha256 = Digest::of_file(&target).at("read", &target)?;
        let size = std::fs::metadata(&target).at("read", &target)?.len();
        let place = pending.file(DESCRIPTION);
        let text = serde_json::to_vec(&Description { sha256, size }).expect("plain data");
        std::fs::write(&place, text).at("write", &place)
    })?;
    let place = entry.file(DESCRIPTION);
    let text = std::fs::read(&place).at("read", &place)?;
    let Description { sha256, size } = serde_json::from_slice(&text)
        .map_err(|error| Error::Damaged { path: place, detail: error.to_string() })?;
    Ok(Stream { path: entry.file(IMAGE), sha256, size })
}
