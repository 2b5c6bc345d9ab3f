//! `cargo xtask sbom`: what changed between two bills of materials.

use std::collections::BTreeSet;
use std::fs;

use camino::Utf8Path;
use rave_release::sbom::diff::{self, Packages};

use crate::cli::{self, SbomCommand};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::Sbom, ui: &Ui) -> anyhow::Result<Code> {
    let SbomCommand::Diff(args) = &args.command;
    let found = diff::compare(&read(&args.first)?, &read(&args.second)?);
    if args.json {
        ui.data(&serde_json::to_string_pretty(&found)?);
        return Ok(Code::Ok);
    }
    if found.is_empty() {
        ui.note("both have the same packages");
        return Ok(Code::Ok);
    }
    let list = |versions: &BTreeSet<String>| versions.iter().cloned().collect::<Vec<_>>().join(", ");
    let row = |what: &str, name: &str, before: String, after: String| {
        vec![what.to_owned(), name.to_owned(), before, after]
    };
    let changed = found.changed.iter().map(|(name, [a, b])| row("changed", name, list(a), list(b)));
    let added = found.added.iter().map(|(name, b)| row("added", name, String::new(), list(b)));
    let removed = found.removed.iter().map(|(name, a)| row("removed", name, list(a), String::new()));
    ui.table(
        &["what", "package", "before", "after"],
        &changed.chain(added).chain(removed).collect::<Vec<_>>(),
    );
    Ok(Code::Ok)
}

fn read(path: &Utf8Path) -> anyhow::Result<Packages> {
    let failed = |why: String| CommandError::usage(format!("{path}: {why}"));
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > diff::LIMIT {
        return Err(failed(format!("it has {size} bytes, at most {} are read", diff::LIMIT)).into());
    }
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    Ok(diff::packages(&bytes).map_err(failed)?)
}
