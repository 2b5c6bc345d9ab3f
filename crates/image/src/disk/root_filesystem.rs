//! The root file system: a tree, streamed as tar into mke2fs, which writes ext4 straight into the partition.

use std::io::{self, BufWriter, Write};

use camino::Utf8Path;
use rave_process::Cmd;
use rave_process::progress::{Event, Unit};

use crate::disk::layout::Layout;
use crate::disk::{Identifiers, STAGE};
use crate::error::{Error, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tree::merge::WriteError;
use crate::tree::root_tree::RootTree;

/// Bytes buffered towards the pipe and from the tars.
pub(super) const BUFFER: usize = 1 << 18;

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
    let mut refused = None;
    let result = Cmd::new(&argv[0])
        .args(&argv[1..])
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
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
