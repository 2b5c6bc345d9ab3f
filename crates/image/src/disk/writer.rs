//! The one writer of raw disks: partitions, root file system, boot loaders. Every base's disk is made here.

use std::fs::File;

use camino::Utf8Path;

use super::STAGE;
use super::boot_loader::{self, BootLoaders, GrubFolders, GrubTool, MenuPlace};
use super::identifiers::Identifiers;
use super::layout::Layout;
use super::root_filesystem;
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;
use crate::tree::root_tree::RootTree;

/// The definition of a disk; together with the versions of the programs that write it, it determines every byte.
pub(crate) struct DiskWriter<'a> {
    pub(crate) tree: &'a dyn RootTree,
    pub(crate) layout: Layout,
    pub(crate) identifiers: &'a Identifiers,
    pub(crate) menu: MenuPlace<'a>,
    pub(crate) grub: &'a GrubFolders,
    /// Timestamp of everything that the tree does not date, seconds since 1970.
    pub(crate) epoch: u64,
}

impl DiskWriter<'_> {
    /// Writes the disk into a new sparse file.
    pub(crate) fn write(&self, image: &Utf8Path, stages: &StageRunner<'_>) -> Result<(), Error> {
        let file = File::create(image).at("create", image)?;
        file.set_len(self.layout.size()).at("size", image)?;
        drop(file);
        self.partition(image, stages)?;
        root_filesystem::write(self.tree, image, &self.layout, self.identifiers, self.epoch, stages)?;
        let disk =
            BootLoaders { image, layout: &self.layout, identifiers: self.identifiers, menu: self.menu };
        let tool = GrubTool { stages, stage: STAGE, epoch: self.epoch, folders: self.grub };
        boot_loader::install(&disk, &tool)
    }

    fn partition(&self, image: &Utf8Path, stages: &StageRunner<'_>) -> Result<(), Error> {
        tool("sfdisk")
            .args(["--quiet", "--no-reread", "--no-tell-kernel", image.as_str()])
            .stdin_bytes(self.layout.sfdisk_script(self.identifiers).into_bytes())
            .log_file(stages.log(STAGE))
            .run(&mut |_| ())
            .stage(STAGE)
            .map(drop)
    }
}
