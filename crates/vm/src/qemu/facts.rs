//! What decides whether a machine saved by one QEMU can resume under another: queried from QEMU once, and cached in a
//! file.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde::{Deserialize, Serialize};

use super::{Qemu, QemuVersion, VERSION_DEADLINE};
use crate::Error;
use crate::files::write_atomically;

/// Increased when the meaning of the file changes.
const SCHEMA: u32 = 1;

/// A build of QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    schema: u32,
    /// The program.
    pub program: Utf8PathBuf,
    /// Its version.
    pub version: QemuVersion,
    /// Bytes of the program.
    size: u64,
    /// When it was last modified: seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

/// What a build of QEMU reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The build.
    pub build: Build,
    /// The versioned name of the newest q35 machine type.
    pub q35: String,
    /// Whether it can map a file privately as memory without opening it for writing.
    pub has_private_memory: bool,
}

impl Qemu {
    /// Identifies the build.
    pub fn build(&self) -> Result<Build, Error> {
        let about = fs::metadata(&self.program).map_err(|e| Error::io("inspect", &self.program, e))?;
        Ok(Build {
            schema: SCHEMA,
            program: self.program.clone(),
            version: self.version,
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
        })
    }

    /// Queries QEMU, or reads its earlier answers from a file in `folder`.
    pub fn facts(&self, folder: &Utf8Path) -> Result<Facts, Error> {
        let file = folder.join("qemu.json");
        let build = self.build()?;
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Facts>(&text).ok());
        if let Some(known) = known.filter(|known| known.build == build) {
            return Ok(known);
        }
        let facts = Facts {
            build,
            q35: newest_q35(&self.ask(&["-machine", "help"])?).unwrap_or_else(|| "q35".to_owned()),
            has_private_memory: has_rom(&self.ask(&["-object", "memory-backend-file,help"])?),
        };
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let text = serde_json::to_vec_pretty(&facts).map_err(|e| Error::io("write", &file, e.into()))?;
        write_atomically(&file, &text, 0o600)?;
        Ok(facts)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, Error> {
        let command = Cmd::new(self.program.as_std_path()).args(arguments).timeout(VERSION_DEADLINE);
        Ok(command.output().map_err(Error::process("asking QEMU what it is"))?.text())
    }
}

/// Parses the line `q35   Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-10.0)`.
fn newest_q35(help: &str) -> Option<String> {
    let line = help.lines().find(|line| line.split_whitespace().next() == Some("q35"))?;
    let name = line.split_once("(alias of ")?.1.split_once(')')?.0;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (name.starts_with("pc-q35-") && name.chars().all(is_name)).then(|| name.to_owned())
}

/// The property `rom`, without which a read-only file cannot be mapped for a guest that writes (qapi/qom.json).
fn has_rom(help: &str) -> bool {
    help.lines().any(|line| line.trim_start().starts_with("rom="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_parsed_from_qemus_output() {
        let machines = "Supported machines are:\nmicrovm   microvm (i386)\npc-q35-10.0          Standard PC\n\
                        q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-10.0)\n";
        assert_eq!(newest_q35(machines).as_deref(), Some("pc-q35-10.0"));
        assert_eq!(newest_q35("q35  Standard PC (alias of pc-q35-1,x=y)"), None);
        assert_eq!(newest_q35("none  empty machine"), None);
        assert!(has_rom("  reserve=<bool>\n  rom=<OnOffAuto>\n  share=<bool>\n"));
        assert!(!has_rom("memory-backend-file options:\n  readonly=<bool>\n  share=<bool>\n"));
    }
}
