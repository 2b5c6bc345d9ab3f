//! The root file system: a tree, streamed as tar into mke2fs, which writes ext4 straight into the partition.

use std::fs;
use std::io::{self, BufWriter, Write};

use camino::Utf8Path;
use rave_process::progress::{Event, Unit};

use crate::disk::layout::Layout;
use crate::disk::{Identifiers, STAGE};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;
use crate::tree::merge::WriteError;
use crate::tree::root_tree::RootTree;

/// Bytes buffered towards the pipe and from the tars.
pub(super) const BUFFER: usize = 1 << 18;

/// The command line (mke2fs(8)). A second `-E` would replace the first. Features come from [`CONFIGURATION`].
pub(crate) fn argv(image: &Utf8Path, layout: &Layout, identifiers: &Identifiers) -> Vec<String> {
    let extended = format!(
        "offset={},hash_seed={},lazy_itable_init=0,nodiscard",
        layout.root.start, identifiers.hash_seed
    );
    let mut argv: Vec<String> =
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", "rave-root"]
            .map(String::from)
            .into();
    argv.extend(["-U", &identifiers.root, "-E", &extended].map(String::from));
    argv.extend(["-d", "-", image.as_str(), &format!("{}k", layout.root.size / 1024)].map(String::from));
    argv
}

/// mke2fs.conf(5) of every build, in place of the host's: e2fsprogs 1.47's own, without `metadata_csum_seed` and `orphan_file`,
/// which the GRUB of older hosts cannot read.
const CONFIGURATION: &str = "\
[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
inode_size = 256
inode_ratio = 16384
[fs_types]
ext4 = {
features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
}
";
const CONFIGURATION_FILE: &str = "mke2fs.conf";

/// Makes the file system in its partition of the image.
pub(crate) fn write(
    tree: &dyn RootTree,
    image: &Utf8Path,
    layout: &Layout,
    identifiers: &Identifiers,
    epoch: u64,
    stages: &StageRunner<'_>,
) -> Result<(), Error> {
    let total = tree.extent().bytes;
    let argv = argv(image, layout, identifiers);
    let scratch = stages.scratch(0)?;
    let configuration = scratch.path().join(CONFIGURATION_FILE);
    fs::write(&configuration, CONFIGURATION).at("write", &configuration)?;
    let mut refused = None;
    let result = tool(&argv[0])
        .args(&argv[1..])
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        // The variable is a colon-separated list: a bare file name contains no colon.
        .env("MKE2FS_CONFIG", CONFIGURATION_FILE)
        .current_dir(scratch.path().as_str())
        // libarchive reads file names in the locale's encoding; npm's packages have names beyond ASCII.
        .env("LC_ALL", "C.UTF-8")
        .log_file(stages.log(STAGE))
        .run_with_input(
            |pipe| {
                let counted = Counted { inner: pipe, done: 0, reported: 0, total, stages };
                let mut out = BufWriter::with_capacity(BUFFER, counted);
                match tree.write(&mut out) {
                    Ok(()) => out.flush(),
                    Err(WriteError::Io(error)) => Err(error),
                    Err(WriteError::Input(error)) => {
                        refused = Some(error);
                        Err(io::Error::other("the tree could not be made"))
                    }
                }
            },
            &mut |_| (),
        )
        .stage(STAGE);
    refused.map_or(result.map(drop), Err)
}

/// Reports the number of bytes written.
struct Counted<'a, 'b> {
    inner: &'a mut dyn Write,
    done: u64,
    reported: u64,
    total: u64,
    stages: &'a StageRunner<'b>,
}

impl Write for Counted<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.done += written as u64;
        if self.done - self.reported >= 16 << 20 {
            self.reported = self.done;
            let (done, total) = (self.done, Some(self.total.max(self.done)));
            self.stages.report(Event::StageProgress { stage: STAGE, done, total, unit: Unit::Bytes });
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
