//! Builds the raw disk, or takes it from the cache.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::boot_loader::{self, GrubFolders, MenuPlace};
use super::identifiers::Identifiers;
use super::layout::Layout;
use super::merged_tree::MergedTree;
use super::writer::DiskWriter;
use super::{IMAGE, LISTING};
use crate::content::ext4::{ReadLimits, TreeError};
use crate::content::{self, ext4::Ext4Tree};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};
use crate::npm_tools::NpmTools;
use crate::space::free_bytes;
use crate::stage_cache::PendingStage;
use crate::stage_runner::StageRunner;
use crate::tree::accounts::Account;
use crate::tree::overlay::Overlay;
use crate::tree::root_tar::RootTar;

/// Changes whenever this folder makes a different disk from the same inputs.
const REVISION: &[u8] = b"2";

const DESCRIPTION: &str = "disk.json";
/// The inputs of a disk.
pub(crate) struct DiskInputs<'a> {
    pub(crate) root: &'a RootTar,
    pub(crate) tools: &'a NpmTools,
    pub(crate) account: &'a Account,
    /// RAVE's own files, without those that contain the disk's identifiers.
    pub(crate) overlay: &'a Overlay,
    pub(crate) kernel_arguments: &'a str,
    pub(crate) key: Digest,
    pub(crate) epoch: u64,
    /// Maximum size of the disk, bytes: `vm.disk`.
    pub(crate) most: u64,
}

/// A finished raw disk.
#[derive(Debug, Clone)]
pub struct RawDisk {
    /// The image; sparse.
    pub path: Utf8PathBuf,
    /// Its identifiers.
    pub identifiers: Identifiers,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its root file system's content.
    pub content: Digest,
}

#[derive(Serialize, Deserialize)]
struct Description {
    identifiers: Identifiers,
    size: u64,
    content: Digest,
}

/// The key of a disk made from results with these keys.
pub(crate) fn key(
    root: &Digest,
    tools: &Digest,
    guest: &Digest,
    overlay: &Digest,
    account: &Account,
) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field("revision", REVISION);
    for (name, digest) in [("root", root), ("tools", tools), ("guest", guest), ("overlay", overlay)] {
        hasher.field(name, digest.bytes());
    }
    hasher.field("account", format!("{account:?}").as_bytes());
    hasher.field("boot configuration", boot_loader::CONFIGURATION.as_bytes());
    hasher.field("kernel arguments", boot_loader::KERNEL_ARGUMENTS.as_bytes());
    hasher.finish()
}

impl DiskInputs<'_> {
    /// Assembles the disk, or takes it from the cache, where it is stored under this stage's name.
    pub(crate) fn build(&self, stages: &StageRunner<'_>, stage: &'static str) -> Result<RawDisk, Error> {
        let identifiers = Identifiers::of(&self.key);
        let mut overlay = self.overlay.clone();
        for file in boot_loader::guest_files(&identifiers, self.kernel_arguments) {
            overlay.add(file);
        }
        let content = self.root.extent + self.tools.extent + overlay.extent();
        let layout = Layout::for_content(content);
        require_size(layout.size(), self.most)?;
        let entry = stages.run(stage, &self.key, |pending| {
            require_room(&pending.file(IMAGE), content.bytes)?;
            self.assemble(stages, pending, identifiers, &overlay, &layout)
        })?;
        let place = entry.file(DESCRIPTION);
        let text = std::fs::read(&place).at("read", &place)?;
        let found: Description = serde_json::from_slice(&text)
            .map_err(|error| Error::Damaged { path: place, detail: error.to_string() })?;
        Ok(RawDisk {
            path: entry.file(IMAGE),
            identifiers: found.identifiers,
            size: found.size,
            content: found.content,
        })
    }

    fn assemble(
        &self,
        stages: &StageRunner<'_>,
        pending: &PendingStage,
        identifiers: Identifiers,
        overlay: &Overlay,
        layout: &Layout,
    ) -> Result<(), Error> {
        let image = pending.file(IMAGE);
        let tree = MergedTree {
            root: self.root,
            tools: self.tools,
            account: self.account,
            overlay,
            epoch: self.epoch,
        };
        let writer = DiskWriter {
            tree: &tree,
            layout: *layout,
            identifiers: &identifiers,
            menu: MenuPlace::Root,
            grub: &GrubFolders::default(),
            epoch: self.epoch,
        };
        writer.write(&image, stages)?;

        let content = read_back(&image, layout, &pending.file(LISTING))?;
        let place = pending.file(DESCRIPTION);
        let description = Description { identifiers, size: layout.size(), content };
        let text = serde_json::to_vec(&description).expect("plain data");
        std::fs::write(&place, text).at("write", &place)
    }
}

/// Lists the actual content of a disk, not its inputs.
pub(crate) fn read_back(image: &Utf8Path, layout: &Layout, listing: &Utf8Path) -> Result<Digest, Error> {
    let files = Ext4Tree::open(image, layout.root.start, layout.root.size);
    let listed = files.and_then(|files| content::list(&files, &ReadLimits::default(), listing));
    listed.map_err(|why| match why {
        TreeError::Interrupted => Error::Interrupted,
        TreeError::Visitor(error) => Error::io("write", listing, error),
        other => Error::Damaged { path: image.to_owned(), detail: other.to_string() },
    })
}

/// Reports a guest that does not fit before it is built, with the required size.
fn require_size(needed: u64, most: u64) -> Result<(), Error> {
    if needed <= most {
        return Ok(());
    }
    let (needed, most) = (needed.div_ceil(1 << 20), most >> 20);
    let detail = format!("{most} MiB is too small: the guest's files need {needed} MiB");
    Err(Error::Input { what: "vm.disk".into(), detail })
}

pub(crate) fn require_room(image: &Utf8Path, needed: u64) -> Result<(), Error> {
    let folder = image.parent().unwrap_or(image);
    let free = free_bytes(folder).at("read the free space of", folder)?;
    if free < needed {
        return Err(Error::NoSpace {
            path: folder.to_owned(),
            needed_mib: needed >> 20,
            free_mib: free >> 20,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_too_small_for_the_guest_is_reported_with_the_required_size() {
        require_size(4 << 30, 4 << 30).unwrap();
        let error = require_size((4 << 30) + 1, 4 << 30).unwrap_err().to_string();
        assert_eq!(error, "vm.disk: 4096 MiB is too small: the guest's files need 4097 MiB");
    }
}
