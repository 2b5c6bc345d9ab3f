//! Examines one requirement.

use camino::Utf8Path;
use rave_process::find_program;
use rave_vm::firmware::find_uefi;
use rave_vm::machine::{Arch, Firmware};
use rave_vm::qemu::Qemu;

use crate::for_tests::TEST;
use crate::report::{Finding, Fix, NOT_FOUND, State};
use crate::requirement::{Probe, Requirement};
use crate::tar_support;
use crate::version::ProgramVersion;
use crate::version_cache::VersionCache;

/// The finding for one requirement.
pub(crate) fn probe(requirement: &'static Requirement, versions: &mut VersionCache) -> Finding {
    let needed = match &requirement.probe {
        Probe::Versioned { minimal, .. } => format!("{minimal} or newer"),
        Probe::TarMke2fs { minimal } => format!("{minimal} or newer, with support for tar input"),
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
        Probe::Versioned { argument, minimal } => versioned(requirement.name, argument, *minimal, versions),
        Probe::TarMke2fs { minimal } => {
            versioned(requirement.name, "-V", *minimal, versions).and_then(|version| {
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
    Finding { name: name.to_owned(), found, needed, why, parts, state, fix }
}

/// A feature of QEMU; without a usable QEMU there is none.
fn offered(answer: Result<bool, rave_vm::Error>) -> Result<String, String> {
    if answer.unwrap_or(false) { Ok("in QEMU".to_owned()) } else { Err(NOT_FOUND.to_owned()) }
}

fn versioned(
    name: &str,
    argument: &str,
    minimal: ProgramVersion,
    versions: &mut VersionCache,
) -> Result<String, String> {
    let program = find_program(name).ok_or(NOT_FOUND)?;
    match versions.version(&program, argument) {
        Some(version) if version >= minimal => Ok(version.to_string()),
        Some(version) => Err(version.to_string()),
        None => Err(format!("{program}, whose version is unknown")),
    }
}
