//! Makes artifacts from one disk, possibly several in parallel; shared intermediate files are made once.

use std::sync::{Mutex, PoisonError};

use super::export_spec::ExportSpec;
use super::source_disk::SourceDisk;
use super::vmdk_stream::{self, StreamVmdk};
use crate::disk::RawDisk;
use crate::error::Error;
use crate::stage_runner::StageRunner;

/// The inputs of artifacts, and shared intermediate files.
pub(crate) struct Exporter<'a> {
    pub(crate) stages: &'a StageRunner<'a>,
    pub(crate) source: SourceDisk,
    pub(crate) spec: ExportSpec,
    /// The source disk, if it was built here.
    pub(super) built: Option<&'a RawDisk>,
    /// Made by the first format that needs it, while others wait.
    stream: Mutex<Option<StreamVmdk>>,
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

    /// The stream-optimised VMDK, made at most once.
    pub(super) fn stream(&self) -> Result<StreamVmdk, Error> {
        let mut made = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = match made.take() {
            Some(stream) => stream,
            None => vmdk_stream::make(self.stages, &self.source, &self.spec)?,
        };
        Ok(made.insert(stream).clone())
    }
}
