//! `cargo xtask bench`: the cost of builds and boots, compared with a floor measured in the same run.

use std::fs;

use clap::ValueEnum as _;
use rave_host::Needs;
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;

use crate::bench::tool::Tool;
use crate::bench::{
    Report, boot, desktop, first_run, formats, idle, image, mkosi, network, sandboxes, verify, workspace,
};
use crate::cli::{self, BenchPart};
use rave::cmd::run::accelerator;
use rave::command_error::CommandError;
use rave::exit::Code;
use rave::host;
use rave::settings::Settings;
use rave::ui::Ui;

pub(crate) fn run(args: &cli::Bench, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let wants = |part| match part {
        // Without a commit there is nothing to compare with.
        BenchPart::FirstRun if args.only.is_empty() => args.against.is_some(),
        part => args.only.is_empty() || args.only.contains(&part),
    };
    if wants(BenchPart::FirstRun) && args.against.is_none() {
        return Err(CommandError::usage("first-run is compared with an earlier commit")
            .remedy("add --against COMMIT")
            .into());
    }
    let needs_no_machine = |part: &BenchPart| matches!(part, BenchPart::Network | BenchPart::Verify);
    if !args.only.is_empty() && args.only.iter().all(needs_no_machine) {
        return alone(args, settings, ui);
    }
    host::ensure(settings, ui, Needs::Smoke)?;
    if wants(BenchPart::Formats) || wants(BenchPart::FormatBoots) {
        host::ensure(settings, ui, Needs::Iso)?;
    }
    let qemu = Qemu::find(Arch::X86_64)?;
    let probe = accelerator(settings, &qemu, ui)?;
    let place = place(settings)?;
    let place = camino::Utf8Path::from_path(place.path()).expect("below a UTF-8 folder");
    let mut report = Report::new(probe.accelerator().to_string(), args.runs);
    let with = boot::With { qemu: &qemu, probe: &probe };
    let tool = Tool::below(place, settings, &with)?;
    let measured =
        BenchPart::value_variants().iter().filter(|part| wants(**part)).try_for_each(|part| match part {
            BenchPart::Image => image::measure(&mut report, settings, place, ui),
            BenchPart::Formats => formats::measure(&mut report, settings, place, ui),
            BenchPart::Mkosi => mkosi::measure(&mut report, settings, place, ui),
            BenchPart::Boot => boot::measure(&mut report, settings, place, &with, ui),
            BenchPart::FormatBoots => boot::measure_formats(&mut report, settings, place, &with, ui),
            BenchPart::Desktop => desktop::measure(&mut report, settings, place, &with, ui),
            BenchPart::Sandboxes => sandboxes::measure(&mut report, &tool, place, &with, ui),
            BenchPart::Idle => idle::measure(&mut report, &tool, ui),
            BenchPart::Workspace => workspace::measure(&mut report, &tool, place, ui),
            BenchPart::Network => network::measure(&mut report, ui),
            BenchPart::Verify => verify::measure(&mut report, place, ui),
            BenchPart::FirstRun => {
                let commit = args.against.as_deref().unwrap_or_default();
                first_run::measure(&mut report, settings, place, commit, ui)
            }
        });
    // Their state folder is deleted with `place`, and then no command could stop them.
    let removed = tool.remove_all();
    measured.and(removed)?;
    show(&report, args, ui)
}

/// The parts that need no machine, and therefore no accelerator.
fn alone(args: &cli::Bench, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let place = place(settings)?;
    let mut report = Report::new("none".into(), args.runs);
    let folder = camino::Utf8Path::from_path(place.path()).expect("below a UTF-8 folder");
    if args.only.contains(&BenchPart::Network) {
        network::measure(&mut report, ui)?;
    }
    if args.only.contains(&BenchPart::Verify) {
        verify::measure(&mut report, folder, ui)?;
    }
    show(&report, args, ui)
}

/// A folder on the cache's file system, which has the space and the speed that users see.
fn place(settings: &Settings) -> anyhow::Result<tempfile::TempDir> {
    fs::create_dir_all(&settings.cache_dir)?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(&settings.cache_dir)?)
}

fn show(report: &Report, args: &cli::Bench, ui: &Ui) -> anyhow::Result<Code> {
    if args.json {
        ui.data(&serde_json::to_string_pretty(&report)?);
    } else {
        ui.table(&["what", "min", "median", "max", "floor", "ratio", "target"], &report.table());
        report.notes.iter().for_each(|note| ui.note(note));
    }
    Ok(Code::Ok)
}
