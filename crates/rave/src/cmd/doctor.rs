//! `cargo xtask doctor`: a row for each requirement of the host, and a test of its accelerator.

use rave_host::{Finding, Fix, Part, State};
use rave_spec::Base;
use rave_vm::Error;
use rave_vm::accel::{self, Accelerator, KvmState, ProbeRequest};
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;
use serde::Serialize;

use crate::cli;
use crate::cmd::fence;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::host;
use crate::settings::Settings;
use crate::ui::Ui;

/// What an image and a machine need. The NixOS base brings what it builds with.
fn needed(base: Base) -> &'static [Part] {
    match base {
        Base::Debian => &[Part::Build, Part::Boot],
        Base::Nixos => rave_host::BOOT,
    }
}

/// Width of the table in characters.
const WIDTH: usize = 100;

/// Runs the command.
pub fn run(args: &cli::Doctor, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    // What cannot be repaired is reported after the table, which shows it too.
    let needed = needed(settings.base);
    let context = host::context(settings);
    let resolved = host::with_dialog(settings, ui, |dialog| rave_host::resolve(context, dialog, needed));
    let (mut findings, unresolved) = match resolved {
        Ok(findings) => (findings, None),
        Err(error) => (rave_host::examine(context, needed), Some(error)),
    };
    findings.push(accelerator(settings));
    findings.extend(fence::rows());
    findings.extend(rave_host::nix(context));
    if settings.base == Base::Debian {
        findings.extend(rave_host::examine(context, &[Part::Iso]).into_iter().map(unless_asked_for));
    }
    findings.extend(rave_host::examine(context, &[Part::Test]));
    if args.json {
        let rows: Vec<JsonRow<'_>> = findings.iter().map(JsonRow::of).collect();
        ui.data(&serde_json::to_string_pretty(&rows)?);
    } else {
        let cells: Vec<Vec<String>> = findings.iter().map(cells).collect();
        let headers = ["", "program", "for", "found", "needed", "why, and how to get it"];
        ui.narrow_table(&headers, &cells, WIDTH);
    }
    if let Some(error) = unresolved {
        return Err(error.into());
    }
    match findings.iter().find(|finding| finding.state == State::Missing) {
        None => Ok(Code::Ok),
        Some(missing) => Err(CommandError::host_not_ready(format!("{}: {}", missing.name, missing.found))
            .remedy(how(missing))
            .into()),
    }
}

/// A host that builds no ISO is ready without the requirements of ISOs.
fn unless_asked_for(finding: Finding) -> Finding {
    let state = if finding.state == State::Missing { State::Optional } else { finding.state };
    Finding { state, ..finding }
}

/// The accelerator, tested by running a guest under it.
fn accelerator(settings: &Settings) -> Finding {
    let force = settings.accel.map(Accelerator::from);
    let probe = Qemu::find(Arch::X86_64).and_then(|qemu| {
        accel::probe(&ProbeRequest { qemu: &qemu, cache_dir: &settings.state_dir, force, refresh: false })
    });
    let finding = Finding {
        name: "accelerator".to_owned(),
        found: String::new(),
        needed: force.map_or_else(|| "kvm, else tcg".to_owned(), |accel| accel.to_string()),
        why: "runs the guest's instructions",
        parts: rave_host::BOOT,
        state: State::Ok,
        fix: Fix::None,
    };
    match probe {
        Ok(probe) => {
            let fix = probe.kvm.remedy().map_or(Fix::None, Fix::Advice);
            let slow = !matches!(probe.kvm, KvmState::Works { .. } | KvmState::NotTried);
            let state = if slow { State::Warning } else { State::Ok };
            Finding { found: probe.to_string(), state, fix, ..finding }
        }
        Err(error) => {
            let advice = match error {
                Error::QemuMissing { .. } | Error::QemuTooOld { .. } => {
                    Some("comes with qemu-system-x86_64".to_owned())
                }
                _ => error.remedy(),
            };
            let fix = advice.map_or(Fix::None, Fix::Advice);
            Finding { found: error.to_string(), state: State::Missing, fix, ..finding }
        }
    }
}

impl From<cli::Accel> for Accelerator {
    fn from(accel: cli::Accel) -> Self {
        match accel {
            cli::Accel::Kvm => Self::Kvm,
            cli::Accel::Tcg => Self::Tcg,
        }
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Optional => "optional",
        State::Missing => "missing",
    }
}

fn how(finding: &Finding) -> String {
    match &finding.fix {
        Fix::None => String::new(),
        Fix::Package(requirement) if finding.state == State::Optional => {
            let command = if finding.parts == [Part::Iso] { "image --format iso" } else { "test" };
            format!("package {} (cargo xtask {command} --yes)", requirement.packages.apt)
        }
        Fix::Package(requirement) => format!("package {}", requirement.packages.apt),
        Fix::Upgrade(requirement) => {
            format!("upgrade {} (cargo xtask doctor --yes)", requirement.packages.apt)
        }
        Fix::RootCommand(argv) => argv.join(" "),
        Fix::Advice(text) => text.clone(),
    }
}

fn parts(finding: &Finding) -> Vec<&'static str> {
    finding.parts.iter().map(|part| part.name()).collect()
}

fn cells(finding: &Finding) -> Vec<String> {
    let parts = parts(finding).join(", ");
    let Finding { name, found, needed, why, state, .. } = finding;
    let how = how(finding);
    let why = if how.is_empty() { (*why).to_owned() } else { format!("{why}\n-> {how}") };
    let texts = [state_name(*state), name, &parts, found, needed, &why];
    texts.map(str::to_owned).to_vec()
}

#[derive(Serialize)]
struct JsonRow<'a> {
    name: &'a str,
    /// Which parts need it: `build`, `nixos`, `boot`, `iso`, `test`.
    parts: Vec<&'static str>,
    /// `ok`, `warning`, `optional` (only tests, a format that nobody asked for, or the other base would use it) or `missing`.
    state: &'static str,
    found: &'a str,
    needed: &'a str,
    why: &'a str,
    /// Empty if there is nothing to do.
    how: String,
}

impl<'a> JsonRow<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            name: &finding.name,
            parts: parts(finding),
            state: state_name(finding.state),
            found: &finding.found,
            needed: &finding.needed,
            why: finding.why,
            how: how(finding),
        }
    }
}
