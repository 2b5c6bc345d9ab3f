//! `cargo xtask install`: installs the program `rave` into a folder in PATH, with this checkout as its home.

use std::{env, fs, io};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave::command_error::CommandError;
use rave::exit::Code;
use rave::program::INSTALLED_FROM;
use rave::settings::Settings;
use rave::ui::Ui;
use rave_fs::Replace;
use rave_process::Cmd;
use rave_process::progress::{Event, StageOutcome};
use xshell::{Shell, cmd};

use crate::cli;

const PROGRAM: &str = "rave";
const STAGE: &str = "rave";
/// Lines of cargo's output that an error shows.
const SHOWN: usize = 20;

pub(crate) fn run(args: &cli::Install, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let folder = folder(args.to.as_deref())?;
    let place = folder.join(PROGRAM);
    refuse_foreign_program(&place)?;
    if args.remove {
        remove(&place, ui)?;
        return Ok(Code::Ok);
    }
    let program = build(settings, ui)?;
    put(&program, &place)?;
    ui.data(place.as_str());
    if !is_on_path(&folder) {
        ui.note(&format!("{folder} is not on PATH; add it: export PATH=\"{folder}:$PATH\""));
    }
    Ok(Code::Ok)
}

/// `--to`, otherwise the user's folder of programs: XDG Base Directory Specification 0.8, "user-specific executable files".
fn folder(to: Option<&Utf8Path>) -> anyhow::Result<Utf8PathBuf> {
    let folder = match to {
        Some(folder) => std::path::absolute(folder)?,
        None => env::home_dir()
            .ok_or_else(|| {
                CommandError::usage("the home folder is unknown").remedy("name the folder with --to")
            })?
            .join(".local/bin"),
    };
    Utf8PathBuf::from_path_buf(folder)
        .map_err(|path| CommandError::usage(format!("{} is not valid UTF-8", path.display())).into())
}

/// Refuses to replace or remove a different program of this name.
fn refuse_foreign_program(place: &Utf8Path) -> anyhow::Result<()> {
    match fs::read(place) {
        Ok(bytes) if is_installed_by_rave(&bytes) => Ok(()),
        Ok(_) => Err(CommandError::usage(format!("{place} is another program"))
            .remedy("choose another folder with --to, or move that program away")
            .into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {place}")),
    }
}

fn is_installed_by_rave(bytes: &[u8]) -> bool {
    let mark = INSTALLED_FROM.as_bytes();
    bytes.windows(mark.len()).any(|window| window == mark)
}

fn remove(place: &Utf8Path, ui: &Ui) -> anyhow::Result<()> {
    match fs::remove_file(place) {
        Ok(()) => ui.note(&format!("removed {place}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ui.note(&format!("nothing to remove: there is no {place}"));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot remove {place}")),
    }
    Ok(())
}

/// Compiles the program with the checkout's path and commit; the profile is that of `cargo xtask`, for which most
/// crates are already compiled.
fn build(settings: &Settings, ui: &Ui) -> anyhow::Result<Utf8PathBuf> {
    let sink = ui.sink();
    let started = std::time::Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Cmd::new(cargo)
        .args(["build", "--package", PROGRAM, "--bin", PROGRAM, "--locked"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(&settings.root)
        .env("RAVE_INSTALL_HOME", settings.root.as_str())
        .env("RAVE_INSTALL_COMMIT", commit(&settings.root))
        .output()
        .map_err(|error| {
            CommandError::of_command(Code::BuildFailed, "rave was not compiled", &error, SHOWN)
        })?;
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome: StageOutcome::Built });
    executable(&output.text()).context("cargo named no program")
}

/// The path in cargo's last `compiler-artifact` message that has one (the Cargo book, "External tools").
fn executable(messages: &str) -> Option<Utf8PathBuf> {
    let mut paths = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(Utf8PathBuf::from)
    });
    paths.next_back()
}

/// The checked-out commit; empty if git does not know, as in an unpacked archive.
fn commit(root: &Utf8Path) -> String {
    let named_by_cargo = || {
        let shell = Shell::new().ok()?;
        // Not that of a repository that the archive was unpacked in.
        shell.set_var("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root));
        let describe = cmd!(shell, "git -C {root} describe --always --dirty --abbrev=12").quiet();
        describe.ignore_stderr().read().ok()
    };
    named_by_cargo().unwrap_or_default()
}

/// Copies atomically, even over a running program.
fn put(program: &Utf8Path, place: &Utf8Path) -> anyhow::Result<()> {
    let folder = place.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    Replace::new(place).copy(program).with_context(|| format!("cannot write {place}"))
}

fn is_on_path(folder: &Utf8Path) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|entry| entry == folder.as_std_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_program_is_parsed_from_cargos_output() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/rave\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n"
        );
        assert_eq!(executable(messages).unwrap(), "/t/debug/rave");
        assert!(executable("").is_none());
    }

    #[test]
    fn another_program_with_the_name_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = Utf8PathBuf::from_path_buf(folder.path().join(PROGRAM)).unwrap();
        assert!(refuse_foreign_program(&place).is_ok());
        fs::write(&place, "#!/bin/sh\n").unwrap();
        assert!(refuse_foreign_program(&place).unwrap_err().to_string().contains("is another program"));
        fs::write(&place, format!("x{INSTALLED_FROM}/home\0")).unwrap();
        assert!(refuse_foreign_program(&place).is_ok());
    }
}
