//! Caches the versions of programs: running mmdebstrap and npm again takes a third of a second.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_process::Cmd;
use serde::{Deserialize, Serialize};

use crate::version::ProgramVersion;

/// The timeout of a program that prints its version, for a host under load.
const DEADLINE: Duration = Duration::from_secs(20);

/// The version of each program by its path, valid while its file is unchanged.
#[derive(Debug)]
pub(crate) struct VersionCache {
    file: Utf8PathBuf,
    known: BTreeMap<Utf8PathBuf, Cached>,
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cached {
    stamp: Stamp,
    version: ProgramVersion,
}

/// Changes when a package manager replaces the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Stamp {
    fn of(program: &Utf8Path) -> Option<Self> {
        let meta = fs::metadata(program).ok()?;
        Some(Self { inode: meta.ino(), bytes: meta.size(), changed: (meta.ctime(), meta.ctime_nsec()) })
    }
}

impl VersionCache {
    /// Loads the versions of earlier runs; empty if they cannot be read.
    pub(crate) fn load(state_dir: &Utf8Path) -> Self {
        let file = state_dir.join("host-versions.json");
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { file, known: known.unwrap_or_default(), changed: false }
    }

    /// The version of `program`; `None` if it does not print one.
    pub(crate) fn version(&mut self, program: &Utf8Path, argument: &str) -> Option<ProgramVersion> {
        let stamp = Stamp::of(program)?;
        if let Some(known) = self.known.get(program).filter(|known| known.stamp == stamp) {
            return Some(known.version);
        }
        let output =
            Cmd::new(program.as_str()).arg(argument).env("LC_ALL", "C").timeout(DEADLINE).output().ok()?;
        // mke2fs prints its version to stderr.
        let version =
            ProgramVersion::find(&output.text()).or_else(|| ProgramVersion::find(&output.tail.join("\n")))?;
        self.known.insert(program.to_owned(), Cached { stamp, version });
        self.changed = true;
        Some(version)
    }

    /// Saves new versions. An unwritable state folder only costs time in the next run.
    pub(crate) fn save(&self) {
        if !self.changed {
            return;
        }
        let Ok(text) = serde_json::to_vec_pretty(&self.known) else { return };
        let folder = self.file.parent().unwrap_or(&self.file);
        let _ = fs::create_dir_all(folder).and_then(|()| Replace::new(&self.file).unsynced().write(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(folder: &Utf8Path, version: &str) -> Utf8PathBuf {
        let path = folder.join("tool");
        let temporary = folder.join("tool.new");
        fs::write(&temporary, format!("#!/bin/sh\necho run >> {folder}/runs\necho tool {version}\n"))
            .unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&temporary, &path).unwrap();
        path
    }

    #[test]
    fn a_version_is_queried_again_only_if_the_program_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let tool = program(folder, "1.2.3");
        let ask = || {
            let mut cache = VersionCache::load(folder);
            let version = cache.version(&tool, "--version");
            cache.save();
            version
        };
        assert_eq!((ask(), ask()), (Some(ProgramVersion([1, 2, 3])), Some(ProgramVersion([1, 2, 3]))));
        assert_eq!(fs::read_to_string(folder.join("runs")).unwrap(), "run\n");
        program(folder, "2.0.0");
        assert_eq!(ask(), Some(ProgramVersion([2, 0, 0])));
    }
}
