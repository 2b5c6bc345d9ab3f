//! `cargo xtask ci`: data for the workflows in `.github/workflows`, so that they contain no lists.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod workflow;

use rave_spec::{Base, Format, ProfileName};
use serde::Serialize;

use crate::cli::{self, CiCommand, ProfileFormat};
use rave::cli::FormatFlag;
use rave::command_error::CommandError;
use rave::exit::Code;
use rave::settings::Settings;
use rave::ui::Ui;

/// A matrix in the format of a workflow's `strategy.matrix`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Matrix {
    include: Vec<Row>,
}

/// One job's values: `matrix.base`, `matrix.profile`, and `matrix.format` if the job is about a single format.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    base: Base,
    profile: ProfileName,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
}

pub(crate) fn run(args: &cli::Ci, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    match &args.command {
        CiCommand::Matrix(args) => {
            let profiles = profiles(&args.profiles, settings)?;
            check_also(&args.also, settings)?;
            // One line: it becomes a step's output, `name=value`.
            ui.data(&serde_json::to_string(&matrix(args, &profiles))?);
        }
    }
    Ok(Code::Ok)
}

/// The requested profiles, each once and in display order; all of them if none is requested.
fn profiles(asked: &[String], settings: &Settings) -> anyhow::Result<Vec<ProfileName>> {
    let spec = &settings.spec.spec;
    for name in asked {
        spec.profile(name).map_err(|error| CommandError::usage(format!("--profile: {error}")))?;
    }
    let known = spec.profiles.keys();
    Ok(known.filter(|name| wanted(asked, |other| other == name.as_str())).cloned().collect())
}

fn check_also(also: &[ProfileFormat], settings: &Settings) -> anyhow::Result<()> {
    for ProfileFormat { profile, .. } in also {
        let known = settings.spec.spec.profile(profile);
        known.map_err(|error| CommandError::usage(format!("--also: {error}")))?;
    }
    Ok(())
}

/// Every base, profile and format that is not excluded, and additional requests: one job each.
fn matrix(args: &cli::CiMatrix, profiles: &[ProfileName]) -> Matrix {
    let mut include = Vec::new();
    for &base in Base::ALL.iter().filter(|base| wanted(&args.bases, |other| other == *base)) {
        if args.release {
            include.extend(profiles.iter().map(|profile| Row {
                base,
                profile: profile.clone(),
                format: None,
            }));
            continue;
        }
        for profile in profiles {
            let asked = |format: &&Format| {
                wanted(&args.formats, |flag| {
                    matches!(flag, FormatFlag::All) || *flag == FormatFlag::One(**format)
                })
            };
            let formats = Format::ALL.iter().filter(asked);
            include.extend(formats.map(|&format| Row {
                base,
                profile: profile.clone(),
                format: Some(format),
            }));
        }
        for ProfileFormat { profile, format } in &args.also {
            let row = profile.parse().map(|profile| Row { base, profile, format: Some(*format) });
            // Every name was checked.
            include.extend(row.ok().filter(|row| !include.contains(row)));
        }
    }
    Matrix { include }
}

/// Whether one of `asked` matches, or `asked` is empty.
fn wanted<T>(asked: &[T], matches: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(matches)
}
