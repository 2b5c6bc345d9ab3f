//! The root file system: the merged tree, streamed as tar into mke2fs, which writes ext4 straight into
//! the partition.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};

use camino::Utf8Path;
use rave_process::Cmd;
use rave_process::progress::{Event, Unit};

use crate::disk::layout::Layout;
use crate::disk::{Identifiers, STAGE};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::npm_tools::NpmTools;
use crate::stage_runner::StageRunner;
use crate::tree::accounts::Account;
use crate::tree::merge::{Merge, WriteError};
use crate::tree::overlay::Overlay;
use crate::tree::root_tar::RootTar;

/// Bytes buffered towards the pipe and from the tars.
const BUFFER: usize = 1 << 18;

/// What the file system holds.
pub(crate) struct RootContents<'a> {
    pub(crate) root: &'a RootTar,
    pub(crate) tools: &'a NpmTools,
    pub(crate) account: &'a Account,
    pub(crate) overlay: &'a Overlay,
    pub(crate) epoch: u64,
}

/// The command line (mke2fs(8)). A second `-E` or `-O` would replace the first. `metadata_csum_seed` and
/// `orphan_file` are off because the GRUB of older hosts cannot read them.
pub(crate) fn argv(image: &Utf8Path, layout: &Layout, identifiers: &Identifiers) -> Vec<String> {
    let extended = format!(
        "offset={},hash_seed={},lazy_itable_init=0,nodiscard",
        layout.root.start, identifiers.hash_seed
    );
    let mut argv: Vec<String> =
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", "rave-root"]
            .map(String::from)
            .into();
    argv.extend(
        ["-O", "^metadata_csum_seed,^orphan_file", "-U", &identifiers.root, "-E", &extended]
            .map(String::from),
    );
    argv.extend(["-d", "-", image.as_str(), &format!("{}k", layout.root.size / 1024)].map(String::from));
    argv
}

impl RootContents<'_> {
    /// Makes the file system in its partition of the image.
    pub(crate) fn write(
        &self,
        image: &Utf8Path,
        layout: &Layout,
        identifiers: &Identifiers,
        stages: &StageRunner<'_>,
    ) -> Result<(), Error> {
        let base = open(&self.root.path)?;
        let tools = open(&self.tools.tar)?;
        let merge = Merge {
            account: self.account,
            overlay: self.overlay,
            left_out: &self.tools.left_out,
            epoch: self.epoch,
        };
        let total = self.root.extent.bytes + self.tools.extent.bytes;
        let argv = argv(image, layout, identifiers);
        let mut refused = None;
        let result = Cmd::new(&argv[0])
            .args(&argv[1..])
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            // libarchive reads file names in the locale's encoding; npm's packages have names beyond ASCII.
            .env("LC_ALL", "C.UTF-8")
            .log_file(stages.log(STAGE))
            .run_with_input(
                |pipe| {
                    let counted = Counted { inner: pipe, done: 0, reported: 0, total, stages };
                    let mut out = BufWriter::with_capacity(BUFFER, counted);
                    match merge.write(base, tools, &mut out) {
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
}

fn open(path: &Utf8Path) -> Result<BufReader<File>, Error> {
    Ok(BufReader::with_capacity(BUFFER, File::open(path).at("open", path)?))
}

/// Reports the bytes that went through.
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
