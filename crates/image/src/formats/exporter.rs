//! Makes artifacts of one disk, also several at once; what two of them need is made once.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_spec::{Compression, Format};

use super::{Driver, ExportSpec, SourceDisk, commands, not_convertible, not_on_base, stage};
use super::{iso, raw, virtualbox, vmdk_stream, vmware, zst};
use crate::digest::Digest;
use crate::disk::RawDisk;
use crate::error::{Error, StageContext as _};
use crate::stage_runner::StageRunner;

/// Makes artifacts of one disk, also several at once.
pub(crate) struct Exporter<'a> {
    pub(crate) stages: &'a StageRunner<'a>,
    pub(crate) source: SourceDisk,
    pub(crate) spec: ExportSpec,
    /// The source, where it was built here.
    built: Option<&'a RawDisk>,
    /// Made by the first format that needs it, while others wait.
    stream: Mutex<Option<vmdk_stream::StreamVmdk>>,
}

impl<'a> Exporter<'a> {
    pub(crate) fn new(
        stages: &'a StageRunner<'a>,
        source: SourceDisk,
        spec: ExportSpec,
        built: Option<&'a RawDisk>,
    ) -> Self {
        Self { stages, source, spec, built, stream: Mutex::new(None) }
    }

    /// Writes the artifact's files into an empty folder, under the names of [`file_names`](super::file_names). Gives the digest of the one
    /// that boots where it was found on the way, so that it need not be read again.
    pub(crate) fn make(&self, format: Format, folder: &Utf8Path) -> Result<Option<Digest>, Error> {
        let target = self.target(format, folder);
        match format {
            Format::Virtualbox => virtualbox::make(self, folder)?,
            Format::Vmware => vmware::make(self, folder)?,
            Format::Iso => {
                let disk = self.built.ok_or_else(|| not_convertible(format))?;
                iso::write(self.stages, disk, &target, self.spec.epoch)?;
            }
            Format::Raw => return self.raw(&target).map(Some),
            Format::Qemu => self.run(stage(format), &self.commands(format, &target)?)?,
        }
        Ok(None)
    }

    /// The disk itself, and compressed where that is wanted. The source is hashed while it is copied.
    fn raw(&self, target: &Utf8Path) -> Result<Digest, Error> {
        let commands = self.commands(Format::Raw, target)?;
        let sha256 = thread::scope(|scope| {
            let digest = match self.source.driver {
                Driver::Raw => Some(scope.spawn(|| raw::digest(&self.source.path))),
                Driver::Qcow2 | Driver::Vmdk => None,
            };
            let copied = self.run(stage(Format::Raw), &commands);
            let digest = digest.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            copied.and(digest.transpose())
        })?;
        if self.spec.compress.raw == Compression::Zstd {
            zst::compress(target, &with_zst(target), &self.stages.log(zst::STAGE))?;
        }
        sha256.map_or_else(|| raw::digest(target), Ok)
    }

    fn commands(&self, format: Format, target: &Utf8Path) -> Result<Vec<Vec<String>>, Error> {
        commands(format, &self.source, target, &self.spec).ok_or_else(|| not_on_base(format))
    }

    /// Where the only file of a format goes.
    fn target(&self, format: Format, folder: &Utf8Path) -> Utf8PathBuf {
        folder.join(&self.spec.file_names(format)[0])
    }

    /// The stream-optimised VMDK, made at most once.
    pub(super) fn stream(&self) -> Result<vmdk_stream::StreamVmdk, Error> {
        let mut made = self.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if made.is_none() {
            *made = Some(vmdk_stream::make(self)?);
        }
        Ok(made.clone().expect("just made"))
    }

    pub(super) fn run(&self, stage: &'static str, commands: &[Vec<String>]) -> Result<(), Error> {
        commands.iter().try_for_each(|argv| {
            Cmd::new(&argv[0])
                .args(&argv[1..])
                .log_file(self.stages.log(stage))
                .run(&mut |_| ())
                .stage(stage)
                .map(drop)
        })
    }
}

fn with_zst(target: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{target}.zst"))
}
