//! The human-readable log of a run of nix.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::events::NixEvent;
use super::text::drv_name;
use crate::error::{Error, IoContext as _};

/// Writes the relevant part of each event; replaces the log of the previous run.
pub(super) struct Transcript {
    path: Utf8PathBuf,
    file: BufWriter<File>,
    builds: HashMap<u64, String>,
}

impl Transcript {
    pub(super) fn create(path: &Utf8Path, argv: &[String]) -> Result<Self, Error> {
        let mut file = BufWriter::new(File::create(path).at("create", path)?);
        let line: Vec<String> = argv.iter().map(|word| rave_process::shell_quote(word)).collect();
        writeln!(file, "$ {}", line.join(" ")).at("write", path)?;
        Ok(Self { path: path.to_owned(), file, builds: HashMap::new() })
    }

    pub(super) fn take(&mut self, event: &NixEvent) {
        // A failure to write the log is reported once, at the end.
        let _ = match event {
            NixEvent::Started { id, drv: Some(drv), .. } => {
                self.builds.insert(*id, drv_name(drv).to_owned());
                writeln!(self.file, "building {drv}")
            }
            NixEvent::Started { text, .. } if !text.is_empty() => writeln!(self.file, "{text}"),
            NixEvent::Stopped { id } => {
                self.builds.remove(id);
                Ok(())
            }
            NixEvent::Log { id, line } => {
                let name = self.builds.get(id).map(String::as_str).unwrap_or_default();
                writeln!(self.file, "{name}> {line}")
            }
            NixEvent::Message { text, .. } => writeln!(self.file, "{text}"),
            _ => Ok(()),
        };
    }

    pub(super) fn finish(mut self) -> Result<Utf8PathBuf, Error> {
        self.file.flush().at("write", &self.path)?;
        Ok(self.path)
    }
}
