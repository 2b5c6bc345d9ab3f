//! `cargo xtask push`, and the folder that `up --workspace` copies.

use std::collections::BTreeMap;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use rave_audit::Event;
use rave_workspace::push::{Push, Pushed, push};
use rave_workspace::secrets::Secrets;
use rave_workspace::{BytePath, Place, Record};

use super::guest::SandboxGuest;
use super::seen::user_list;
use crate::cli;
use crate::cmd::sandbox::attend::Named;
use crate::cmd::sandbox::audit::{count, note};
use crate::exit::Code;
use crate::ui::Ui;

/// How many of the paths that were not copied are named.
const MOST_NAMED: usize = 20;

pub(super) fn run(args: &cli::Push, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let source = args.folder.as_deref().map(canonical).transpose()?;
    let started = Instant::now();
    let how = How { include: &args.include, history: args.history, force: args.force };
    let done = copy(&named, source.as_deref(), how, ui)?;
    if args.json {
        ui.json(&done.0)?;
    } else {
        report(&named, &done, started, ui);
    }
    Ok(if done.0.conflicts.is_empty() { Code::Ok } else { Code::CheckFailed })
}

/// The user's options for copying a folder.
#[derive(Debug, Clone, Copy)]
pub(in crate::cmd) struct How<'a> {
    pub(in crate::cmd) include: &'a [String],
    pub(in crate::cmd) history: bool,
    pub(in crate::cmd) force: bool,
}

/// Copies the folder of `up --workspace`; a folder that was copied before is not copied again.
pub(in crate::cmd) fn of_up(named: &Named, folder: &Utf8Path, how: How<'_>, ui: &Ui) -> anyhow::Result<()> {
    let source = canonical(folder)?;
    let place = Place::new(named.place().folder());
    if let Some(record) = Record::find(&place)? {
        if record.source != source {
            return Err(rave_workspace::Error::OtherFolder { known: record.source, asked: source }.into());
        }
        ui.note(&format!(
            "{source} was copied before; `cargo xtask push {}` sends what has changed",
            named.name
        ));
        return Ok(());
    }
    let started = Instant::now();
    let done = copy(named, Some(&source), how, ui)?;
    report(named, &done, started, ui);
    Ok(())
}

/// A folder as stored in the record.
pub(in crate::cmd) fn canonical(folder: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let bad = |error: std::io::Error| rave_workspace::Error::BadSource {
        path: folder.to_owned(),
        why: error.to_string(),
    };
    let canonical = folder.canonicalize_utf8().map_err(bad)?;
    if !canonical.is_dir() {
        return Err(bad(std::io::ErrorKind::NotADirectory.into()).into());
    }
    Ok(canonical)
}

/// What was copied, and what was already known to be left out.
type Done = (Pushed, BTreeMap<BytePath, String>);

fn copy(named: &Named, source: Option<&Utf8Path>, how: How<'_>, ui: &Ui) -> anyhow::Result<Done> {
    let own = user_list("secrets.txt")?;
    let secrets = Secrets::new(own.as_ref().map(|(path, text)| (path.as_str(), text.as_str())))?;
    let guest = SandboxGuest::new(named, None, ui)?;
    let place = Place::new(named.place().folder());
    let _lock = place.lock()?;
    let mut known = BTreeMap::new();
    if let Some(mut record) = Record::find(&place)? {
        rave_workspace::apply::recover(&place, &mut record)?;
        known = record.withheld;
    }
    let folder = format!("work/{}", named.name);
    let How { include, history, force } = how;
    let wanted = Push { source, folder: &folder, include, secrets: &secrets, force, history };
    let pushed = push(&place, wanted, &guest)?;
    let event = Event::Push { files: count(pushed.sent), received: pushed.bytes };
    note(named, &event, ui);
    Ok((pushed, known))
}

fn report(named: &Named, (pushed, known): &Done, started: Instant, ui: &Ui) {
    let name = &named.name;
    let size = pushed.bytes.div_ceil(1 << 20);
    let time = started.elapsed().as_secs_f64();
    let removed = if pushed.removed == 0 { String::new() } else { format!(", {} removed", pushed.removed) };
    ui.note(&format!(
        "copied to work/{name}: {} files and folders, {size} MiB{removed}, in {time:.1} s",
        pushed.sent
    ));
    // Each path is reported once: pushes are frequent.
    let new = pushed.withheld.iter().filter(|(path, _)| !known.contains_key(*path));
    let secrets: Vec<String> = new.map(|(path, why)| format!("{path} ({why})")).collect();
    list("not copied because it looks like a secret; --include PATH copies it", &secrets, ui);
    if let Some(history) = &pushed.history {
        let (blobs, found) = (history.blobs, history.secrets.len());
        ui.note(&format!(
            "its history was copied too: {blobs} file contents, {found} of which look like secrets"
        ));
        let secret = |(path, object, why): &(BytePath, String, String)| {
            format!("{path} ({why}; git show {})", object.get(..12).unwrap_or(object))
        };
        let secrets: Vec<String> = history.secrets.iter().map(secret).collect();
        list("in the history, readable for the sandbox, and looks like a secret", &secrets, ui);
    }
    let left: Vec<String> = pushed.left.iter().map(|(path, why)| format!("{path} ({why})")).collect();
    list("could not be copied", &left, ui);
    let conflicts: Vec<String> = pushed.conflicts.iter().map(ToString::to_string).collect();
    list(
        "changed on both sides and not overwritten; apply the changes first, or overwrite them with --force",
        &conflicts,
        ui,
    );
    list("given with --include, but missing", &pushed.unused, ui);
}

fn list(what: &str, paths: &[String], ui: &Ui) {
    if paths.is_empty() {
        return;
    }
    ui.warn(&format!("{what}:"));
    for path in paths.iter().take(MOST_NAMED) {
        ui.warn(&format!("  {path}"));
    }
    if paths.len() > MOST_NAMED {
        ui.warn(&format!("  and {} more; --json lists all", paths.len() - MOST_NAMED));
    }
}
