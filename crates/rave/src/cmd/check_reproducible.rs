//! `cargo xtask image --check-reproducible`: builds twice, as two people would, and compares byte for byte.

pub(super) mod second;
mod show;

use rave_image::Error;
use rave_image::compare::{self, BuildDifference, FileComparison, FinishedBuild};
use rave_image::manifest::Manifest;
use rave_spec::Base;

use crate::build;
use crate::cli;
use crate::command_error::lines_of;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;
use second::Second;

/// Runs the command.
pub fn run(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    if settings.base == Base::Nixos {
        return by_nix(args, settings, ui);
    }
    let (compared, difference, second) = builds(args, settings, ui)?;
    let same = difference.is_none() && compared.iter().all(|one| one.differs.is_none());
    if args.json {
        ui.data(&show::json(&compared, difference.as_ref())?);
    } else {
        show::table(&compared, ui);
    }
    if same {
        ui.note("both builds produced the same bytes");
        return Ok(Code::Ok);
    }
    let folder = second.keep();
    ui.error(&show::lines(&compared, difference.as_ref(), &folder));
    Ok(Code::CheckFailed)
}

/// The same on the NixOS base: nix builds twice, in its own sandbox, and names what differs.
fn by_nix(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let formats = build::prepare(args, settings, ui)?;
    let wanted = build::of_image(args, &formats);
    let built = build::build(settings, &wanted, ui)?.manifest;
    if let Err(error) = build::check_with_nix(settings, &wanted, ui) {
        let lines = lines_of(&error);
        // libstore/unix/build/local-derivation-goal.cc: the only sign of a difference.
        if lines.iter().any(|line| line.contains("may not be deterministic")) {
            ui.error(&lines);
            return Ok(Code::CheckFailed);
        }
        return Err(error);
    }
    let wanted = built.artifacts.iter().filter(|artifact| formats.contains(&artifact.format));
    let compared: Vec<FileComparison> = wanted
        .flat_map(|artifact| {
            artifact.files.iter().map(|file| FileComparison {
                format: artifact.format,
                name: file.name.clone(),
                sha256: file.sha256,
                differs: None,
            })
        })
        .collect();
    if args.json {
        ui.data(&show::json(&compared, None)?);
    } else {
        show::table(&compared, ui);
    }
    ui.note("both builds produced the same bytes");
    Ok(Code::Ok)
}

/// The same for a release, which shows nothing if both builds are equal. Returns the files that differ.
pub(super) fn quietly(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Vec<String>> {
    let (compared, difference, second) = builds(args, settings, ui)?;
    let differ: Vec<String> =
        compared.iter().filter(|one| one.differs.is_some()).map(|one| one.name.clone()).collect();
    if !differ.is_empty() {
        ui.error(&show::lines(&compared, difference.as_ref(), &second.keep()));
    }
    Ok(differ)
}

type Builds = (Vec<FileComparison>, Option<BuildDifference>, Second);

/// Builds twice and compares.
fn builds(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Builds> {
    let formats = build::prepare(args, settings, ui)?;
    // Prepared before the first build, so that an obstacle is reported immediately.
    let second = Second::prepare(settings, ui)?;
    let wanted = build::of_image(args, &formats);
    let ours = build::build(settings, &wanted, ui)?.manifest;
    let Some(origin) = ours.origin.debian() else {
        return Err(Error::NotOnBase { base: ours.base() }.into());
    };
    second.build(settings, &wanted, origin.source_date_epoch, ui)?;
    let theirs = Manifest::read(&second.out())?;

    let first = FinishedBuild { manifest: &ours, out_dir: &settings.out_dir, cache_dir: &settings.cache_dir };
    let other = FinishedBuild { manifest: &theirs, out_dir: &second.out(), cache_dir: &second.cache() };
    let compared = compare::artifacts(&first, &other, &formats)?;
    let same = compared.iter().all(|one| one.differs.is_none());
    let difference = if same { None } else { compare::explain(&first, &other, &compared)? };
    Ok((compared, difference, second))
}
