//! `cargo xtask trust`: whether a workspace's `.rave.toml` takes effect. It does as long as it is byte for byte the
//! file that the user has reviewed: a cloned project, or a change from a sandbox, has no effect by itself.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_spec::{WORKSPACE_FILE, WORKSPACE_MAX, WorkspaceSettings, workspace};
use rave_vm::terminal_text::plain;
use rave_workspace::Digest;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::push::canonical;
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// What the state folder stores about a trusted folder, in a separate file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Trusted {
    folder: Utf8PathBuf,
    /// Of the file's bytes.
    sha256: Digest,
}

/// Runs the command.
pub(super) fn run(args: &cli::Trust, ui: &Ui) -> anyhow::Result<Code> {
    let folder = canonical(&args.folder)?;
    let note = note(&settings::state_dir()?, &folder);
    if args.forget {
        match fs::remove_file(&note) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        ui.note(&format!("{} is no longer trusted", folder.join(WORKSPACE_FILE)));
        return Ok(Code::Ok);
    }
    let file = folder.join(WORKSPACE_FILE);
    let missing = || CommandError::usage(format!("there is no {file}"));
    let bytes =
        read(&file).map_err(|why| CommandError::usage(format!("{file}: {why}")))?.ok_or_else(missing)?;
    settings_of(&bytes).map_err(|why| CommandError::usage(format!("{file}: {why}")))?;
    ui.data(&plain(&String::from_utf8_lossy(&bytes)));
    keep(&note, &Trusted { folder, sha256: Digest::of(&bytes) })?;
    ui.note(&format!("{file} is trusted as it is now; it only narrows your own configuration"));
    Ok(Code::Ok)
}

fn keep(note: &Utf8Path, trusted: &Trusted) -> anyhow::Result<()> {
    if let Some(parent) = note.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(Replace::new(note).mode(0o600).write(serde_json::to_vec_pretty(trusted)?)?)
}

/// The settings of the workspace's file if it is trusted; otherwise a line says why they are ignored.
pub(in crate::cmd) fn trusted(folder: &Utf8Path, state_dir: &Utf8Path, ui: &Ui) -> Option<WorkspaceSettings> {
    trusted_settings(folder, state_dir).unwrap_or_else(|why| {
        ui.warn(&format!("{} is ignored: {why}", folder.join(WORKSPACE_FILE)));
        None
    })
}

/// The file's settings; none if it does not exist; an error that says why it is ignored.
fn trusted_settings(folder: &Utf8Path, state_dir: &Utf8Path) -> Result<Option<WorkspaceSettings>, String> {
    let Some(bytes) = read(&folder.join(WORKSPACE_FILE))? else { return Ok(None) };
    let known: Option<Trusted> =
        fs::read(note(state_dir, folder)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let now = Trusted { folder: folder.to_owned(), sha256: Digest::of(&bytes) };
    match known {
        Some(known) if known == now => settings_of(&bytes).map(Some),
        Some(_) => {
            Err(format!("it has changed since you trusted it; review it, then: cargo xtask trust {folder}"))
        }
        None => Err(format!("review it, then: cargo xtask trust {folder}")),
    }
}

/// The bytes of the file; none if it does not exist. Links are not followed: their target is outside the workspace's
/// control.
fn read(file: &Utf8Path) -> Result<Option<Vec<u8>>, String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(file);
    let opened = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| error.to_string())?,
    };
    if !opened.metadata().is_ok_and(|about| about.is_file()) {
        return Err("it is not a file".into());
    }
    let mut bytes = Vec::new();
    opened.take(WORKSPACE_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > WORKSPACE_MAX {
        return Err("it is too long".into());
    }
    Ok(Some(bytes))
}

/// The parsed settings, or the first error in them, escaped.
fn settings_of(bytes: &[u8]) -> Result<WorkspaceSettings, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    workspace(WORKSPACE_FILE, text).map_err(|errors| {
        let first = errors.0.first().map(ToString::to_string).unwrap_or_default();
        plain(&first).trim().to_owned()
    })
}

/// The file that stores it: its name is unique to the folder.
fn note(state_dir: &Utf8Path, folder: &Utf8Path) -> Utf8PathBuf {
    state_dir.join("trusted").join(format!("{}.json", String::from(Digest::of(folder.as_str().as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: &str = "[network]\nmode = \"offline\"\n";

    fn place() -> (tempfile::TempDir, Utf8PathBuf, Utf8PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(scratch.path().canonicalize().unwrap()).unwrap();
        (scratch, folder.clone(), folder.join("state"))
    }

    fn trust(folder: &Utf8Path, state: &Utf8Path) {
        let bytes = fs::read(folder.join(WORKSPACE_FILE)).unwrap();
        let trusted = Trusted { folder: folder.to_owned(), sha256: Digest::of(&bytes) };
        keep(&note(state, folder), &trusted).unwrap();
    }

    #[test]
    fn a_file_applies_only_in_its_trusted_version_and_place() {
        let (_scratch, folder, state) = place();
        assert_eq!(trusted_settings(&folder, &state), Ok(None));
        let file = folder.join(WORKSPACE_FILE);
        fs::write(&file, NARROW).unwrap();
        let why = trusted_settings(&folder, &state).unwrap_err();
        assert!(why.contains(&format!("cargo xtask trust {folder}")), "{why}");
        trust(&folder, &state);
        assert!(trusted_settings(&folder, &state).unwrap().is_some());
        // As `apply` would write it.
        fs::write(&file, format!("{NARROW}allow = [\"evil.example\"]\n")).unwrap();
        assert!(trusted_settings(&folder, &state).unwrap_err().contains("has changed"));
        fs::write(&file, NARROW).unwrap();
        assert!(trusted_settings(&folder, &state).unwrap().is_some());
        let other = folder.join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(WORKSPACE_FILE), NARROW).unwrap();
        assert!(trusted_settings(&other, &state).is_err(), "the same file elsewhere");
    }

    #[test]
    fn only_plain_files_of_reasonable_size_apply() {
        let (_scratch, folder, state) = place();
        let file = folder.join(WORKSPACE_FILE);
        fs::write(folder.join("target"), NARROW).unwrap();
        std::os::unix::fs::symlink("target", &file).unwrap();
        assert!(trusted_settings(&folder, &state).is_err(), "a link");
        fs::remove_file(&file).unwrap();
        fs::write(&file, vec![b'#'; 100_000]).unwrap();
        assert!(trusted_settings(&folder, &state).unwrap_err().contains("too long"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(trusted_settings(&folder, &state).is_err(), "a folder");
    }
}
