//! `cargo xtask prune`: removes stopped sandboxes.

use std::time::{Duration, SystemTime};

use rave_sandbox::state::{State, current_state};
use rave_sandbox::{Place, SandboxName, Store, now};
use rave_vm::template::Templates;

use super::attend::{Named, report_wait};
use super::list::{mebibytes, time};
use super::ssh_config;
use crate::cli;
use crate::cmd::workspace::seen;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// A sandbox that may be removed.
struct Stopped {
    name: SandboxName,
    disk: u64,
    /// When its disk was last written.
    written: Option<SystemTime>,
}

pub(super) fn run(args: &cli::Prune, yes: bool, ui: &Ui) -> anyhow::Result<Code> {
    let state = settings::state_dir()?;
    let store = Store::new(&state);
    store.sweep();
    let code = sandboxes(args, yes, &store, ui)?;
    records(args, &store, ui)?;
    if args.templates {
        // Templates that other processes use or make are kept.
        Templates::new(&state).prune(0)?;
        ui.note("templates that no sandbox uses are removed");
    }
    Ok(code)
}

/// Removes expired records of removed sandboxes.
fn records(args: &cli::Prune, store: &Store, ui: &Ui) -> anyhow::Result<()> {
    for record in store.expired_audits(now())? {
        let age = time(now().saturating_sub(record.removed));
        let what = format!("the record of {}, which was removed {age} ago,", record.sandbox);
        if args.dry_run {
            ui.note(&format!("{what} would be removed"));
        } else {
            record.forget().map_err(rave_sandbox::Error::from)?;
            ui.note(&format!("{what} is removed"));
        }
    }
    Ok(())
}

fn sandboxes(args: &cli::Prune, yes: bool, store: &Store, ui: &Ui) -> anyhow::Result<Code> {
    let stopped = stopped(store, args.older_than, ui)?;
    if stopped.is_empty() {
        ui.note("no sandbox to remove");
        return Ok(Code::Ok);
    }
    let row = |one: &Stopped| {
        let unused = unused(one.written).map_or("-".to_owned(), |unused| time(unused.as_secs()));
        vec![one.name.to_string(), unused, mebibytes(one.disk)]
    };
    ui.table(&["name", "unused", "disk"], &stopped.iter().map(row).collect::<Vec<_>>());
    if args.dry_run {
        return Ok(Code::Ok);
    }
    if !yes && !ui.ask("Remove these sandboxes with their disks?") {
        return Err(CommandError::usage("nothing was removed").remedy("confirm, or give --yes").into());
    }
    for one in &stopped {
        let lock = match store.lock(&one.name, &mut || report_wait(&one.name, ui)) {
            // It was removed while the question was open.
            Err(rave_sandbox::Error::Unknown { .. }) => continue,
            lock => lock?,
        };
        let place = store.place(&one.name);
        let named = Named { store: store.clone(), name: one.name.clone() };
        // It may have been used while the question was open.
        let was_used = current_state(&place).state.runs() || last_written(&place) != one.written;
        if was_used || seen::refuse_unapplied(&named).is_err() {
            ui.note(&format!("{} was used meanwhile and is kept", one.name));
            continue;
        }
        store.remove(&place, lock)?;
        ui.note(&format!("{} is removed", one.name));
    }
    ssh_config::write(store)?;
    Ok(Code::Ok)
}

fn stopped(store: &Store, older_than: Option<Duration>, ui: &Ui) -> anyhow::Result<Vec<Stopped>> {
    let mut stopped = Vec::new();
    for name in store.names()? {
        let place = store.place(&name);
        let current = current_state(&place);
        // An unreadable record is left alone: another version may be able to read it.
        if !matches!(current.state, State::Stopped | State::Crashed) || store.get(&name).is_err() {
            continue;
        }
        let written = last_written(&place);
        if older_than.is_some_and(|limit| unused(written).is_none_or(|unused| unused < limit)) {
            continue;
        }
        let named = Named { store: store.clone(), name };
        match seen::refuse_unapplied(&named) {
            Ok(()) => stopped.push(Stopped {
                name: named.name,
                disk: current.disk.saturating_add(current.saved_memory),
                written,
            }),
            Err(error) => ui.note(&format!("{} stays: {error}", named.name)),
        }
    }
    Ok(stopped)
}

/// When its disk was last written.
fn last_written(place: &Place) -> Option<SystemTime> {
    std::fs::metadata(place.layers().active().ok()?).ok()?.modified().ok()
}

/// How long a disk has not been written.
fn unused(written: Option<SystemTime>) -> Option<Duration> {
    let written = written?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(now().saturating_sub(written.as_secs())))
}
