//! `cargo xtask smoke`: builds what is missing, boots each artifact on the rows of the matrix and runs the checks on it.

mod artifact_checks;
mod clone;
mod files;
mod install;
mod jobs;
mod machine;
mod row_output;
mod rows;
mod scratch;
mod session;
mod show;

use std::collections::BTreeSet;
use std::env::consts::{ARCH, OS};
use std::time::{Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::Manifest;
use rave_image::manifest::Artifact;
use rave_process::interrupt;
use rave_smoke::isolation::{self, Attack};
use rave_smoke::matrix::MatrixRow;
use rave_smoke::registry::{self, Check, SelectError};
use rave_smoke::report::{self, ArtifactChecks, Host, Report};
use rave_spec::{Feature, Format};
use rave_vm::accel::ProbeResult;
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;
use rave_vm::run_dir;

use crate::build;
use crate::cli;
use crate::cmd::run::{accelerator, run_root};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::host;
use crate::request;
use crate::settings::Settings;
use crate::ui::Ui;
use files::Files;
use session::{Job, Session};

/// Runs the command.
pub fn run(args: &cli::Smoke, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    if args.list {
        if args.isolation {
            list_attacks(&attacks(args)?, ui);
        } else {
            list(&chosen(args, &every_feature())?, ui);
        }
        return Ok(Code::Ok);
    }
    if args.list_rows {
        rows::list(ui);
        return Ok(Code::Ok);
    }
    Ok(code(&check(args, settings, ui)?))
}

/// Boots and checks what was requested, shows the results, and returns the report.
pub fn check(args: &cli::Smoke, settings: &Settings, ui: &Ui) -> anyhow::Result<Report> {
    let mut features: BTreeSet<String> =
        settings.profile()?.features.iter().map(ToString::to_string).collect();
    if !settings.spec.spec.guest.certificates.is_empty() {
        features.insert(registry::CERTIFICATES.to_owned());
    }
    let attacks = if args.isolation { attacks(args)? } else { Vec::new() };
    let checks = if args.isolation { Vec::new() } else { chosen(args, &features)? };
    let rows = rows::chosen(args, settings)?;
    if !args.isolation {
        refuse_empty(&rows, &checks)?;
    }
    let at_once = side_by_side(args, settings, rows.len())?;
    let files = Files::new(args, settings)?;
    let formats = rows::formats(&rows);
    build::report_base(settings, ui);
    host::ensure_all(settings, ui, &host::needs_of_smoke(settings)?)?;
    build::ensure_formats(settings, ui, &formats)?;
    let manifest = build::build(settings, &build::to_boot(&formats, &args.building), ui)?.manifest;
    let qemu = Qemu::find(Arch::X86_64)?;
    let probe = accelerator(settings, &qemu, ui)?;
    run_dir::sweep(&run_root(settings))?;
    let session = Session {
        args,
        settings,
        ui,
        checks: &checks,
        attacks: &attacks,
        manifest: &manifest,
        qemu: &qemu,
        probe: &probe,
        files: &files,
        is_crowd: at_once > 1,
    };
    // All artifacts are checked before the first boot: a damaged one should not be found minutes later.
    let artifacts = artifacts(&settings.out_dir, &manifest, &formats)?;
    let (started, clock) = (SystemTime::now(), Instant::now());
    let made: Vec<ArtifactChecks> = if args.only.is_empty() && !args.isolation {
        artifacts.iter().map(|(artifact, _)| artifact_checks::verify_files(artifact, settings, ui)).collect()
    } else {
        Vec::new()
    };
    let jobs: Vec<Job<'_>> = rows
        .iter()
        .flat_map(|row| {
            let of_row = artifacts.iter().filter(|(artifact, _)| artifact.format == row.format);
            of_row.map(|(artifact, path)| Job { row: *row, artifact, path: path.clone() })
        })
        .collect();
    let (runs, end) = if args.clone {
        match clone::attack(args, &attacks, settings, &probe, ui) {
            Ok(run) => (vec![run], Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        }
    } else {
        jobs::side_by_side(at_once, &jobs, |job| session.smoke(job))
    };
    let incomplete = match &end {
        Err(error) => Some(error.to_string()),
        Ok(()) => (!args.clone && runs.len() < jobs.len()).then(|| "interrupted".to_owned()),
    };
    let report = Report::new(host(&qemu, &probe), started, clock.elapsed(), made, runs, incomplete);
    // Results so far are shown, whatever failed afterwards.
    if !report.runs.is_empty() || !report.made.is_empty() {
        show::report(&report, args, settings, ui)?;
    }
    let written = files.write(&report, &manifest.to_json(), ui);
    end?;
    written?;
    Ok(report)
}

/// The artifacts that the rows boot.
pub fn artifacts<'a>(
    out_dir: &Utf8Path,
    manifest: &'a Manifest,
    formats: &[Format],
) -> Result<Vec<(&'a Artifact, Utf8PathBuf)>, rave_image::Error> {
    formats.iter().map(|format| request::artifact(out_dir, manifest, *format)).collect()
}

/// How many rows run at once.
fn side_by_side(args: &cli::Smoke, settings: &Settings, rows: usize) -> anyhow::Result<usize> {
    let jobs =
        args.jobs.map_or_else(|| jobs::that_fit(settings.spec.spec.vm), |jobs| jobs as usize).min(rows);
    if args.fixed_ports && jobs > 1 {
        return Err(CommandError::usage("--fixed-ports: two machines cannot have the same ports")
            .remedy("add --jobs 1, or leave --fixed-ports out")
            .into());
    }
    Ok(jobs)
}

fn host(qemu: &Qemu, probe: &ProbeResult) -> Host {
    Host {
        system: format!("{OS} {ARCH}"),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        qemu: qemu.version.to_string(),
        accelerator: probe.accelerator().to_string(),
        accelerator_reason: probe.to_string(),
    }
}

fn code(report: &Report) -> Code {
    if interrupt::requested().is_some() {
        return Code::Interrupted;
    }
    match report.verdict {
        report::Verdict::Passed => Code::Ok,
        report::Verdict::Failed | report::Verdict::Incomplete => Code::CheckFailed,
    }
}

fn every_feature() -> BTreeSet<String> {
    Feature::ALL
        .iter()
        .map(|feature| feature.as_str())
        .chain([registry::CERTIFICATES])
        .map(String::from)
        .collect()
}

/// The requested checks that apply to a guest with these features.
fn chosen(args: &cli::Smoke, features: &BTreeSet<String>) -> anyhow::Result<Vec<Check>> {
    let checks = registry::select(&args.only, &args.skip, features).map_err(|error| refused(&error, ""))?;
    if checks.is_empty() {
        return Err(CommandError::usage("--only and --skip together leave no check").into());
    }
    Ok(checks)
}

/// The requested attacks.
fn attacks(args: &cli::Smoke) -> anyhow::Result<Vec<&'static Attack>> {
    Ok(isolation::select(&args.only).map_err(|error| refused(&error, " --isolation"))?)
}

/// `flags` are needed beside `--list` to list them.
fn refused(error: &SelectError, flags: &str) -> CommandError {
    let failure = CommandError::usage(error.to_string());
    let list = format!("`cargo xtask smoke{flags} --list` shows them all");
    match error {
        SelectError::Unknown { nearest: Some(nearest), .. } => {
            failure.remedy(format!("did you mean {nearest}? {list}"))
        }
        SelectError::Unknown { nearest: None, .. } => failure.remedy(list),
        SelectError::Lacks { feature: registry::CERTIFICATES, .. } => {
            failure.remedy("name PEM files in guest.certificates of rave.local.toml")
        }
        SelectError::Lacks { feature, .. } => failure.remedy(format!(
            "choose a profile that has it with --profile, or add {feature:?} to its features"
        )),
    }
}

/// A row without any applicable check would boot for nothing, and pass.
fn refuse_empty(rows: &[MatrixRow], checks: &[Check]) -> anyhow::Result<()> {
    let is_empty = |row: &&MatrixRow| !checks.iter().any(|check| check.applies(row.is_live()));
    let Some(row) = rows.iter().find(is_empty) else { return Ok(()) };
    let guest = if row.is_live() { "runs live" } else { "runs from its own disk" };
    Err(CommandError::usage(format!(
        "none of the chosen checks applies to row {}, whose guest {guest}",
        row.name
    ))
    .remedy("add a check that does to --only, or choose other rows with --rows")
    .into())
}

fn list_attacks(attacks: &[&Attack], ui: &Ui) {
    let row = |attack: &&Attack| {
        [attack.name, attack.title, &attack.expect.join(" or ")].map(String::from).to_vec()
    };
    ui.table(&["attack", "passes when", "it gets"], &attacks.iter().map(row).collect::<Vec<_>>());
}

fn list(checks: &[Check], ui: &Ui) {
    let row = |check: &Check| {
        let feature = check.feature.unwrap_or_default();
        [check.name, check.group.name(), feature, check.title].map(String::from).to_vec()
    };
    ui.table(&["check", "group", "needs", "passes when"], &checks.iter().map(row).collect::<Vec<_>>());
}
