//! Looks at the host: one row for each thing it needs.

use camino::Utf8Path;
use rave_process::find_program;
use rave_vm::firmware::find_uefi;
use rave_vm::machine::{Arch, Firmware};
use rave_vm::qemu::Qemu;

use super::for_tests::{FOR_TESTS, TEST};
use super::memo::Memo;
use super::requirement::{Part, Probe, Requirement};
use super::requirements::REQUIREMENTS;
use super::version::Version;
use super::{disk_space, privileges, tar_support};
use crate::settings::Settings;

/// One thing, as it is on this host.
#[derive(Debug)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// What is there.
    pub found: String,
    /// What would do.
    pub needed: String,
    /// What it is for.
    pub why: &'static str,
    /// What it is needed for.
    pub parts: &'static [Part],
    /// Whether it will do.
    pub state: State,
    /// What would mend it.
    pub fix: Fix,
}

/// [`Row::found`] of a thing that is not there.
pub(super) const NOT_FOUND: &str = "not found";

/// Whether a thing will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It will do.
    Ok,
    /// Works, but worse than it could.
    Warning,
    /// Not there, and only tests would use it.
    Optional,
    /// Does not work.
    Missing,
}

/// What would mend a row.
#[derive(Debug)]
pub enum Fix {
    /// Nothing is to be mended.
    None,
    /// This requirement's package.
    Package(&'static Requirement),
    /// A command that root runs.
    RootCommand(Vec<String>),
    /// Something that only the user can decide.
    Advice(String),
}

/// A row for each thing that `parts` need.
pub fn examine(settings: &Settings, parts: &[Part]) -> Vec<Row> {
    let mut memo = Memo::load(&settings.state_dir);
    let needed = REQUIREMENTS
        .iter()
        .chain(FOR_TESTS)
        .filter(|requirement| requirement.parts.iter().any(|part| parts.contains(part)));
    let mut rows: Vec<Row> = needed.map(|requirement| look(requirement, &mut memo)).collect();
    if parts.contains(&Part::Build) {
        rows.extend(privileges::rows(&mut memo));
        rows.push(disk_space::row("cache", &settings.cache_dir, disk_space::CACHE_MIB, "RAVE_CACHE"));
        rows.push(disk_space::row("output", &settings.out_dir, disk_space::OUT_MIB, "--out"));
    }
    if parts.contains(&Part::Test) {
        rows.extend(sshd_folder());
    }
    memo.save();
    rows
}

/// sshd(8) wants its empty folder even to print its settings. Only its service makes it, which nobody needs to run;
/// root's tests make it themselves.
fn sshd_folder() -> Option<Row> {
    let folder = "/run/sshd";
    let is_here = Utf8Path::new(folder).is_dir();
    let command = ["mkdir", "-p", folder].map(str::to_owned).to_vec();
    (!rustix::process::geteuid().is_root()).then(|| Row {
        name: folder.to_owned(),
        found: if is_here { folder } else { NOT_FOUND }.to_owned(),
        needed: "any".to_owned(),
        why: "the empty folder that sshd wants",
        parts: TEST,
        state: if is_here { State::Ok } else { State::Optional },
        fix: if is_here { Fix::None } else { Fix::RootCommand(command) },
    })
}

/// The row of one requirement.
pub(super) fn look(requirement: &'static Requirement, memo: &mut Memo) -> Row {
    let needed = match &requirement.probe {
        Probe::Versioned { minimal, .. } => format!("{minimal} or newer"),
        Probe::TarMke2fs { minimal } => format!("{minimal} or newer, taking a tar"),
        Probe::Program
        | Probe::QemuDevice(_)
        | Probe::QemuDisplay(_)
        | Probe::UefiFirmware
        | Probe::File { .. }
        | Probe::AnyProgram { .. } => "any".to_owned(),
    };
    let found = match &requirement.probe {
        Probe::Program => {
            find_program(requirement.name).map(String::from).ok_or_else(|| NOT_FOUND.to_owned())
        }
        Probe::Versioned { argument, minimal } => versioned(requirement.name, argument, *minimal, memo),
        Probe::TarMke2fs { minimal } => {
            versioned(requirement.name, "-V", *minimal, memo).and_then(|version| {
                let program = find_program(requirement.name).unwrap_or_default();
                tar_support::prove(&program)
                    .map(|()| version.clone())
                    .map_err(|why| format!("{version}, but: {why}"))
            })
        }
        Probe::QemuDevice(name) => offered(Qemu::find(Arch::X86_64).and_then(|qemu| qemu.has_device(name))),
        Probe::QemuDisplay(name) => {
            offered(Qemu::find(Arch::X86_64).and_then(|qemu| Ok(qemu.offers()?.display(name))))
        }
        Probe::UefiFirmware => match find_uefi(Arch::X86_64) {
            Ok(Firmware::Uefi { code, .. }) => Ok(code.into()),
            _ => Err(NOT_FOUND.to_owned()),
        },
        Probe::File { any_of } => any_of
            .iter()
            .find(|path| Utf8Path::new(path).is_file())
            .map_or_else(|| Err(NOT_FOUND.to_owned()), |path| Ok((*path).to_owned())),
        Probe::AnyProgram { of } => of
            .iter()
            .find_map(|name| find_program(name))
            .map_or_else(|| Err(NOT_FOUND.to_owned()), |path| Ok(path.into())),
    };
    let Requirement { name, why, parts, .. } = *requirement;
    let absent = if parts == TEST { State::Optional } else { State::Missing };
    let (found, state, fix) = match found {
        Ok(found) => (found, State::Ok, Fix::None),
        Err(found) => (found, absent, Fix::Package(requirement)),
    };
    Row { name: name.to_owned(), found, needed, why, parts, state, fix }
}

/// A module of QEMU; without a usable QEMU there is none.
fn offered(answer: Result<bool, rave_vm::Error>) -> Result<String, String> {
    if answer.unwrap_or(false) { Ok("in QEMU".to_owned()) } else { Err(NOT_FOUND.to_owned()) }
}

fn versioned(name: &str, argument: &str, minimal: Version, memo: &mut Memo) -> Result<String, String> {
    let program = find_program(name).ok_or(NOT_FOUND)?;
    match memo.version(&program, argument) {
        Some(version) if version >= minimal => Ok(version.to_string()),
        Some(version) => Err(version.to_string()),
        None => Err(format!("{program}, which does not tell its version")),
    }
}
