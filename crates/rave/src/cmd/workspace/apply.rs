//! `cargo xtask apply`.

use std::collections::BTreeMap;

use camino::Utf8Path;
use rave_audit::Event;
use rave_fs::Replace;
use rave_workspace::BytePath;
use rave_workspace::apply::{Outcome, Wanted, apply, folds_case};
use rave_workspace::branch::branch;
use rave_workspace::changes::{Change, pair};
use rave_workspace::choose::choose;
use rave_workspace::patch::patch;
use serde::Serialize;

use super::diff::path_of;
use super::interactive;
use super::seen::Workspace;
use super::show;
use crate::cli;
use crate::cmd::sandbox::attend::Named;
use crate::cmd::sandbox::audit::{count, note};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

type WantedChanges = BTreeMap<BytePath, (Change, Wanted)>;

/// What was done, for `--json`.
#[derive(Debug, Default, Serialize)]
struct Done {
    outcomes: BTreeMap<BytePath, Outcome>,
    /// Held back, and neither named nor confirmed.
    left: Vec<Change>,
    commit: Option<String>,
}

pub(super) fn run(args: &cli::Apply, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let mut workspace = Workspace::open(&named, ui)?;
    let changes = workspace.changes(folds_case(&workspace.record)?)?;
    if !args.json {
        workspace.report_left_out(ui);
    }
    let only: Vec<BytePath> = args.only.iter().map(|path| path_of(path)).collect();
    let chosen = choose(changes, &only, &workspace.quarantine)?;
    let mut done = Done { left: chosen.left, ..Done::default() };
    let mut wanted = chosen.wanted;
    if args.interactive {
        let open = wanted.into_values().map(|(change, _)| change).chain(chosen.asked);
        let (refused, open): (Vec<Change>, Vec<Change>) = open.partition(|change| change.refused.is_some());
        wanted = interactive::ask(open, &workspace.place.blobs(), ui)?;
        wanted.extend(refused.into_iter().map(|change| (change.path.clone(), (change, Wanted::Whole))));
    } else if agrees(&chosen.asked, args.json, ui) {
        let whole_change = |change: Change| (change.path.clone(), (change, Wanted::Whole));
        wanted.extend(chosen.asked.into_iter().map(whole_change));
    } else {
        done.left.extend(chosen.asked);
    }
    if let Some(file) = &args.output {
        done.outcomes = write_patch(&mut workspace, &wanted, file)?;
    } else if let Some(name) = &args.branch {
        let message = args.message.clone().unwrap_or_else(|| format!("Changes of the sandbox {}", args.name));
        let made = branch(&workspace.place, &mut workspace.record, &wanted, name, &message)?;
        done.commit = Some(made.commit);
        done.outcomes = made.outcomes;
    } else {
        done.outcomes = apply(&workspace.place, &mut workspace.record, &mut workspace.pull, &wanted)?;
    }
    note(&named, &event(args, &done), ui);
    if args.json {
        ui.json(&done)?;
    } else {
        report(args, &done, ui);
    }
    Ok(if done.outcomes.values().all(is_applied) { Code::Ok } else { Code::CheckFailed })
}

fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied | Outcome::Merged)
}

/// The event for the record.
fn event(args: &cli::Apply, done: &Done) -> Event {
    let into = match (&args.output, &args.branch) {
        (Some(_), _) => "a patch".to_owned(),
        (_, Some(branch)) => format!("the branch {branch}"),
        _ => "the folder".to_owned(),
    };
    let taken = done.outcomes.values().filter(|outcome| is_applied(outcome)).count();
    let left = done.outcomes.len() - taken + done.left.len();
    Event::Apply { into, taken: count(taken), left: count(left) }
}

/// Whether changes that run on a build are taken: after a question, or with `--yes`. Without a terminal the answer is
/// no.
fn agrees(asked: &[Change], is_json: bool, ui: &Ui) -> bool {
    if asked.is_empty() || ui.assumes_yes() {
        return true;
    }
    if is_json || !ui.can_ask() {
        return false;
    }
    ui.data(&show::stat(asked));
    ui.ask(&format!("{} of the changes run on a build or a test. Take them too?", asked.len()))
}

fn write_patch(
    workspace: &mut Workspace,
    wanted: &WantedChanges,
    file: &Utf8Path,
) -> anyhow::Result<BTreeMap<BytePath, Outcome>> {
    let blobs = workspace.place.blobs();
    let mut outcomes = BTreeMap::new();
    let mut text = Vec::new();
    for (path, (change, wanted)) in wanted {
        let pair = pair(change, &blobs)?;
        let outcome = match (&change.refused, pair, wanted) {
            (Some(why), ..) => Outcome::Refused(why.clone()),
            (None, None, _) => Outcome::Refused("it is not text, or too long for a patch".to_owned()),
            (None, Some(mut pair), wanted) => {
                if let Wanted::Text(text) = wanted {
                    pair.after.clone_from(text);
                } else {
                    workspace.record.taken.insert(path.clone(), change.after.clone());
                }
                text.extend(patch(change, &pair));
                Outcome::Applied
            }
        };
        outcomes.insert(path.clone(), outcome);
    }
    let failed = |error| CommandError::host_not_ready(format!("could not write {file}: {error}"));
    Replace::new(file).write(text).map_err(failed)?;
    workspace.record.save(&workspace.place)?;
    Ok(outcomes)
}

fn report(args: &cli::Apply, done: &Done, ui: &Ui) {
    let mut counts = [0; 2];
    for (path, outcome) in &done.outcomes {
        match outcome {
            Outcome::Applied => counts[0] += 1,
            Outcome::Merged => counts[1] += 1,
            Outcome::Conflict(why) => ui.warn(&format!("conflict in {path}: {why}")),
            Outcome::Refused(why) => ui.warn(&format!("{path} is refused: {why}")),
        }
    }
    for change in &done.left {
        let why = change.held.as_ref().map(|held| held.why.clone()).unwrap_or_default();
        let why = rave_workspace::escape::escaped(why.as_bytes());
        ui.warn(&format!("{} is left out: {why}; --only {} takes it", change.path, change.path));
    }
    let merged = if counts[1] == 0 { String::new() } else { format!(", {} of them merged", counts[1]) };
    let count = counts[0] + counts[1];
    ui.note(&match (&args.output, &args.branch) {
        (Some(file), _) => format!("changes in {file}: {count}"),
        (_, Some(branch)) => format!("changes on the branch {branch}: {count}{merged}"),
        _ => format!("changes applied: {count}{merged}"),
    });
}
