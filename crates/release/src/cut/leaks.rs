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

/// Searches a report, which has answers of guests and words of the host; a finding is an error.
pub(super) fn look_at_report(profile: &str, text: &[u8], names: &BuilderNames) -> Result<(), Error> {
    let findings = leak::search_text(&crate::names::report(profile), text, names)?;
    if findings.is_empty() { Ok(()) } else { Err(Error::Leaks { findings }) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_the_builders_name_is_refused() {
        let names = BuilderNames { user: "quokka".into(), host: "burrow-17".into(), paths: Vec::new() };
        let look = |text: &str| look_at_report("headless", text.as_bytes(), &names);
        assert!(look(r#"{"last_answer": "agent"}"#).is_ok());
        let Err(Error::Leaks { findings }) = look(r#"{"accelerator_reason": "of quokka"}"#) else {
            panic!("the name is found")
        };
        assert_eq!(
            findings[0].to_string(),
            "builder-user in smoke/headless/report.json: byte 27 of the file"
        );
    }
}
