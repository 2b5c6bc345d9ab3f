//! `cargo xtask sbom`: what changed between two bills of materials.

use std::collections::BTreeSet;
use std::io::Read as _;

use camino::Utf8Path;
use rave_release::folder::regular_file;
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
    let changed = found.changed.iter().map(|(name, [a, b])| {
        let what = if found.downgraded.contains(name) { "downgraded" } else { "upgraded" };
        row(what, name, list(a), list(b))
    });
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
    let mut bytes = Vec::new();
    let read = regular_file(path).and_then(|file| file.take(diff::LIMIT + 1).read_to_end(&mut bytes));
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > diff::LIMIT {
        return Err(failed(format!("it has more than {} bytes", diff::LIMIT)).into());
    }
    Ok(diff::packages(&bytes).map_err(failed)?)
}
