//! The leak gate as a stage: searches the built files, which are then packed without changes.

use camino::Utf8PathBuf;
use rave_image::digest::Digest;
use rave_process::progress::{Event, Sink};
use serde::{Deserialize, Serialize};

use super::pack::differs;
use super::workshop::Built;
use crate::error::{Error, IoContext as _};
use crate::leak::{self, Allowed, BuilderNames, Gate};

/// How much was searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Searched {
    /// Different disks.
    pub(super) disks: u64,
    /// Files in them.
    pub(super) files: u64,
}

impl Searched {
    /// The sum of both.
    pub(super) fn and(self, other: Self) -> Self {
        // The numbers of a part are untrusted.
        let (disks, files) = (self.disks.saturating_add(other.disks), self.files.saturating_add(other.files));
        Self { disks, files }
    }
}

/// Searches every built file; a finding is an error.
pub(super) fn search(built: &Built, names: &BuilderNames, sink: Sink<'_>) -> Result<Searched, Error> {
    let files = built.manifest.artifacts.iter().flat_map(|artifact| &artifact.files);
    let mut artifacts: Vec<Utf8PathBuf> = Vec::new();
    for file in files {
        let path = built.out_dir.join(&file.name);
        // The searched files are exactly the packed ones.
        if Digest::of_file(&path).at("read", &path)? != file.sha256 {
            return Err(differs(&path));
        }
        artifacts.push(path);
    }
    let gate = Gate { artifacts: &artifacts, names, allowed: Allowed::reviewed() };
    let report = leak::gate(gate, sink)?;
    for note in &report.notes {
        sink(Event::Note { text: note });
    }
    if report.findings.is_empty() {
        return Ok(Searched { disks: report.disks, files: report.files });
    }
    Err(Error::Leaks { findings: report.findings })
}
