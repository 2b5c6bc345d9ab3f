//! `cargo xtask snapshot` and `restore`: moments that a sandbox can return to.

use std::time::Duration;

use camino::Utf8Path;
use rave_audit::Event;
use rave_sandbox::control::Origin;
use rave_sandbox::snapshot::{self, Label, Snapshot};
use rave_sandbox::start::attend;
use rave_sandbox::{Error, now, ssh_agent};
use rave_vm::accel::Accelerator;
use rave_vm::moment::Saved;
use rave_vm::terminal_text::plain;
use rave_workspace::Place as Workspace;
use rave_workspace::record::BUSY;

use super::attend::{Named, supervisor, turn, wait_started};
use super::audit::note;
use super::fork::{connect, report_saved};
use super::life::end;
use super::limits;
use super::list::{mebibytes, time};
use crate::cli;
use crate::cmd::run::deadline;
use crate::cmd::workspace::seen;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Snapshot, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    named.store.get(&named.name)?;
    let place = named.place();
    if args.list {
        return list(&snapshot::list(&place)?, args.json, ui);
    }
    let lock = named.lock(ui)?;
    if let Some(label) = &args.remove {
        let label: Label = label.parse()?;
        snapshot::remove(&place, &label, &lock)?;
        record(&named, "removed", &label, ui);
        ui.note(&format!("the snapshot {label} of {} is removed", named.name));
        return Ok(Code::Ok);
    }
    let label = match &args.label {
        Some(label) => label.parse()?,
        None => derive(&snapshot::list(&place)?)?,
    };
    limits::check(&named.store)?;
    let mut connection = connect(&named, &lock)?;
    let refused =
        |error: rave_workspace::Error| Error::Refused { name: named.name.clone(), why: error.to_string() };
    // Held until the disk is snapshotted: with a merge base newer than the disk, files pushed in between would seem
    // removed.
    let workspace = Workspace::new(place.folder()).hold(BUSY)?;
    let mut keep = |folder: &Utf8Path| workspace.copy_to(folder).map_err(refused);
    let taken = snapshot::take(&place, connection.as_mut(), &label, &mut keep, &lock)?;
    drop(workspace);
    record(&named, "taken", &label, ui);
    report_saved(&named.name, taken, ui);
    if args.json {
        let all = snapshot::list(&place)?;
        ui.json(&all.iter().find(|one| one.label == label))?;
    } else {
        ui.note(&format!("{} can return to it: cargo xtask restore {} {label}", named.name, named.name));
    }
    Ok(Code::Ok)
}

fn record(named: &Named, action: &str, label: &Label, ui: &Ui) {
    note(named, &Event::Snapshot { action: action.to_owned(), name: label.to_string() }, ui);
}

/// The first of `s-1`, `s-2`, ... that is free.
fn derive(all: &[Snapshot]) -> anyhow::Result<Label> {
    let mut labels = (1_u32..10_000).filter_map(|number| format!("s-{number}").parse::<Label>().ok());
    let free = labels.find(|label| all.iter().all(|one| one.label != *label));
    Ok(free.ok_or_else(|| CommandError::usage("every label that could be derived is taken"))?)
}

fn list(all: &[Snapshot], json: bool, ui: &Ui) -> anyhow::Result<Code> {
    if json {
        ui.json(&all)?;
        return Ok(Code::Ok);
    }
    ui.table(&["label", "age", "has", "size"], &all.iter().map(row).collect::<Vec<_>>());
    Ok(Code::Ok)
}

fn row(one: &Snapshot) -> Vec<String> {
    let age = time(now().saturating_sub(one.when));
    vec![one.label.to_string(), age, has(one), mebibytes(one.bytes)]
}

/// What it contains, as text.
pub(super) fn has(one: &Snapshot) -> String {
    match (&one.saved, &one.damage) {
        (Some(saved), _) => saved.as_str().to_owned(),
        (None, damage) => format!("damaged: {}", damage.as_deref().unwrap_or_default()),
    }
}

/// Restores a sandbox.
pub(super) fn restore(args: &cli::Restore, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let place = named.place();
    let label: Label = args.label.parse()?;
    let accel = settings::asked_accel(args.accel)?;
    let lock = named.lock(ui)?;
    // Checked before anything is discarded.
    snapshot::check(&place, &label)?;
    let connection = connect(&named, &lock)?;
    let ran = connection.is_some();
    if !args.force {
        if ran { seen::refuse_unapplied_now(&named, ui)? } else { seen::refuse_unapplied(&named)? }
    }
    let refused =
        |error: rave_workspace::Error| Error::Refused { name: named.name.clone(), why: error.to_string() };
    let mut bring = |from: &Utf8Path, to: &Utf8Path| Workspace::new(from).copy_to(to).map_err(refused);
    // Steps that may fail or take long come first: nothing changes until the machine is stopped.
    let restoring = snapshot::prepare(&place, &label, &mut bring, &lock)?;
    // An `apply` or a `push` that is still writing would write to the restored state.
    let workspace = Workspace::new(place.folder()).try_lock(BUSY)?;
    if ran {
        end(attend(&place, &supervisor(&named.name, None)?, &lock)?, Duration::ZERO, None)?;
    }
    // A key of the user's agent is only forwarded until the sandbox stops.
    ssh_agent::keep(&place, None)?;
    let saved = restoring.commit(&lock)?;
    drop(workspace);
    record(&named, "restored", &label, ui);
    if saved == Saved::Disk && !ran {
        ui.note(&format!("{} is restored; start it: cargo xtask start {}", named.name, named.name));
        return Ok(Code::Ok);
    }
    let turn = turn(&named.store, ui)?;
    let connection = attend(&place, &supervisor(&named.name, accel)?, &lock)?;
    drop(lock);
    let status = wait_started(&place, connection, turn, deadline(Accelerator::Tcg), ui)?;
    match &status.origin {
        Origin::DiskInstead { why } => {
            ui.warn(&format!("{} starts from the snapshot's disk: {}", named.name, plain(why).trim()));
        }
        _ if saved == Saved::Disk => ui.note(&format!("{} starts from the snapshot's disk", named.name)),
        _ => ui.note(&format!("{} continues from {label}", named.name)),
    }
    Ok(Code::Ok)
}
