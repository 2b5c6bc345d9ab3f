//! `cargo xtask fork`: sandboxes that go on from the same moment of another.

use std::thread;

use rave_audit::Event;
use rave_process::interrupt;
use rave_sandbox::fork::{Passing, Taken, derive_name, make, take};
use rave_sandbox::look::look;
use rave_sandbox::start::{Supervise, attend};
use rave_sandbox::{Connection, Error, LifeLock, Place, Record, SandboxName, Store};
use rave_vm::accel::Accelerator;
use rave_vm::moment::Saved;

use super::attend::{Named, supervisor, tell_wait, wait};
use super::audit::note;
use super::ports::show_address;
use super::{limits, ssh_config};
use crate::cli;
use crate::cmd::run::deadline;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// A fork that is being made.
struct New {
    place: Place,
    supervise: Supervise,
    lock: LifeLock,
}

pub(super) fn run(args: &cli::Fork, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let parent = named.store.get(&named.name)?;
    let accel = settings::asked_accel(args.accel)?;
    let asked: Vec<SandboxName> = args.new.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let claimed = claim(&named, &asked, args.count.unwrap_or(1), ui)?;
    let mut news = Vec::new();
    for (name, lock) in claimed {
        news.push(New { place: named.store.place(&name), supervise: supervisor(&name, accel)?, lock });
    }
    if let Err(error) = freeze(&named, &parent, &news, ui) {
        // What has its name is whole.
        for new in news {
            named.store.remove(&new.place, new.lock)?;
        }
        return Err(error);
    }
    let made = start(&named.store, news)?;
    ssh_config::write(&named.store)?;
    show(&made, args, ui)
}

/// Makes the forks, which do not run yet.
fn freeze(named: &Named, parent: &Record, news: &[New], ui: &Ui) -> anyhow::Result<()> {
    limits::check(&named.store)?;
    let lock = named.lock(ui)?;
    let passing = Passing::new(&named.store)?;
    let mut connection = connect(named, &lock)?;
    let taken = take(&named.place(), connection.as_mut(), &passing.moment(), &lock)?;
    tell(&named.name, taken, ui);
    for new in news {
        let record = make(&named.store, parent, &passing.moment(), taken, new.place.name(), &new.lock)?;
        rave_workspace::Place::new(named.place().folder()).copy_to(new.place.folder())?;
        record.save(&new.place)?;
        note(named, &Event::Fork { name: new.place.name().to_string() }, ui);
        limits::check(&named.store)?;
    }
    Ok(())
}

/// Connects to a sandbox that runs; nothing where it does not.
pub(super) fn connect(named: &Named, lock: &LifeLock) -> anyhow::Result<Option<Connection>> {
    let place = named.place();
    if look(&place).qemu.is_none() {
        return Ok(None);
    }
    Ok(Some(attend(&place, &supervisor(&named.name, None)?, lock)?))
}

/// Says how it was saved, where that is not with its memory.
pub(super) fn tell(name: &SandboxName, taken: Taken, ui: &Ui) {
    match (taken.saved, taken.stood) {
        (Saved::Disk, _) => ui.note(&format!("{name} does not run: this is its disk alone, which boots")),
        (Saved::Memory, Some(stood)) => ui.note(&format!("{name} stood for {} ms", stood.as_millis())),
        (Saved::Memory, None) => {}
    }
}

/// Takes the locks of names that no sandbox has.
fn claim(
    named: &Named,
    asked: &[SandboxName],
    count: u32,
    ui: &Ui,
) -> anyhow::Result<Vec<(SandboxName, LifeLock)>> {
    let store = &named.store;
    let mut claimed: Vec<(SandboxName, LifeLock)> = Vec::new();
    let taken = |name: &SandboxName| {
        CommandError::usage(format!("there is a sandbox {name} already"))
            .remedy(format!("use another name, or remove it first: cargo xtask rm {name}"))
    };
    for name in asked {
        if *name == named.name || claimed.iter().any(|(other, _)| other == name) {
            return Err(taken(name).into());
        }
        let lock = store.claim(name, &mut || tell_wait(name, ui))?;
        if store.place(name).has_record() {
            return Err(taken(name).into());
        }
        claimed.push((name.clone(), lock));
    }
    while asked.is_empty() && claimed.len() < count as usize {
        let is_taken = |name: &SandboxName| {
            store.place(name).has_record() || claimed.iter().any(|(other, _)| other == name)
        };
        let name = derive_name(&named.name, is_taken);
        let name = name.ok_or_else(|| CommandError::usage("every name that could be derived is taken"))?;
        let lock = store.claim(&name, &mut || tell_wait(&name, ui))?;
        // Another fork may have been quicker: then the next name is tried.
        if !store.place(&name).has_record() {
            claimed.push((name, lock));
        }
    }
    Ok(claimed)
}

/// Starts them all at once. One that did not get an identity of its own is removed.
fn start(store: &Store, news: Vec<New>) -> anyhow::Result<Vec<Place>> {
    let results: Vec<Result<Connection, Error>> = thread::scope(|scope| {
        let start = |new: &'_ New| attend(&new.place, &new.supervise, &new.lock);
        let threads: Vec<_> = news.iter().map(|new| scope.spawn(move || start(new))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Connection, Error>>| thread.join();
        threads.into_iter().filter_map(|thread| join(thread).ok()).collect()
    });
    let mut made = Vec::new();
    let mut failed = None;
    for (new, result) in news.into_iter().zip(results) {
        match result {
            Ok(_) => made.push(new.place),
            Err(error) => {
                if look(&new.place).qemu.is_none() {
                    store.remove(&new.place, new.lock)?;
                }
                failed = failed.or(Some(error));
            }
        }
    }
    interrupt::check()?;
    failed.map_or(Ok(made), |error| Err(error.into()))
}

fn show(made: &[Place], args: &cli::Fork, ui: &Ui) -> anyhow::Result<Code> {
    let mut all = Vec::new();
    for place in made {
        let name = place.name();
        let connection = Connection::open(place).ok_or_else(|| Error::NotRunning { name: name.clone() })?;
        let limit = deadline(Accelerator::Tcg);
        let status = wait(place, connection, limit, ui, |status| status.can_exec)?;
        if args.json {
            all.push(serde_json::json!({ "name": name, "status": status }));
        } else {
            ui.note(&format!("{name} goes on from here"));
            show_address(name, &status, false, ui)?;
        }
    }
    if args.json {
        ui.json(&all)?;
    }
    Ok(Code::Ok)
}
