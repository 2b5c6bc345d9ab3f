//! `cargo xtask fork`: sandboxes that resume from the same moment of another.

use std::thread;
use std::time::Duration;

use rave_audit::Event;
use rave_process::interrupt;
use rave_sandbox::fork::{Passing, Taken, derive_name, make, take};
use rave_sandbox::start::{Supervise, attend};
use rave_sandbox::state::current_state;
use rave_sandbox::{Connection, Error, LifeLock, Place, Record, SandboxName, Store, Turn};
use rave_vm::accel::Accelerator;
use rave_vm::moment::Saved;
use rave_vm::standalone;
use rave_workspace::Place as Workspace;
use rave_workspace::record::BUSY;

use super::attend::{Named, report_wait, supervisor, wait};
use super::audit::note;
use super::ports::show_address;
use super::{limits, ssh_config};
use crate::cli;
use crate::cmd::run::deadline;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// How long QEMU may take to exit after it was killed.
const QUIT: Duration = Duration::from_secs(10);

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
        // A sandbox under its final name is complete. The first error is reported; leftovers are swept later, or can be
        // removed.
        for new in news {
            let _ = named.store.remove(&new.place, new.lock);
        }
        return Err(error);
    }
    let (made, failed) = start(&named.store, news);
    ssh_config::write(&named.store)?;
    interrupt::check()?;
    let code = show(&made, args, ui)?;
    failure(&made, &failed).map_or(Ok(code), |failure| Err(failure.into()))
}

/// Creates the forks without starting them.
fn freeze(named: &Named, parent: &Record, news: &[New], ui: &Ui) -> anyhow::Result<()> {
    limits::check(&named.store)?;
    let lock = named.lock(ui)?;
    let passing = Passing::new(&named.store)?;
    let mut connection = connect(named, &lock)?;
    let moment = passing.moment();
    // Held until the disk is snapshotted: with a merge base newer than the disk, files pushed in between would seem
    // removed.
    let workspace = Workspace::new(named.place().folder()).hold(BUSY)?;
    workspace.copy_to(moment.folder())?;
    let taken = take(&named.place(), connection.as_mut(), &moment, &lock)?;
    drop(workspace);
    report_saved(&named.name, taken, ui);
    for new in news {
        let record = make(&named.store, parent, &moment, taken, new.place.name(), &new.lock)?;
        Workspace::new(moment.folder()).copy_to(new.place.folder())?;
        record.save(&new.place)?;
        note(named, &Event::Fork { name: new.place.name().to_string() }, ui);
        limits::check(&named.store)?;
    }
    Ok(())
}

/// Connects to a sandbox if it is running.
pub(super) fn connect(named: &Named, lock: &LifeLock) -> anyhow::Result<Option<Connection>> {
    let place = named.place();
    if current_state(&place).qemu.is_none() {
        return Ok(None);
    }
    Ok(Some(attend(&place, &supervisor(&named.name, None)?, lock)?))
}

/// Reports if the sandbox was saved without its memory.
pub(super) fn report_saved(name: &SandboxName, taken: Taken, ui: &Ui) {
    match (taken.saved, taken.paused) {
        (Saved::Disk, _) => ui.note(&format!("{name} is not running: only its disk is saved, which boots")),
        (Saved::Memory, Some(paused)) => ui.note(&format!("{name} was paused for {} ms", paused.as_millis())),
        (Saved::Memory, None) => {}
    }
}

/// Locks names that no sandbox has.
fn claim(
    named: &Named,
    asked: &[SandboxName],
    count: u32,
    ui: &Ui,
) -> anyhow::Result<Vec<(SandboxName, LifeLock)>> {
    let store = &named.store;
    let mut claimed: Vec<(SandboxName, LifeLock)> = Vec::new();
    let taken = |name: &SandboxName| {
        CommandError::usage(format!("the sandbox {name} already exists"))
            .remedy(format!("use another name, or remove it first: cargo xtask rm {name}"))
    };
    // Locked in one order, that of derived names (`a-9` before `a-10`), so that two commands never wait for each other.
    let mut asked: Vec<&SandboxName> = asked.iter().collect();
    asked.sort_by_key(|name| (name.as_str().len(), name.as_str()));
    for name in &asked {
        let name = *name;
        if *name == named.name || claimed.iter().any(|(other, _)| other == name) {
            return Err(taken(name).into());
        }
        let lock = store.claim(name, &mut || report_wait(name, ui))?;
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
        let lock = store.claim(&name, &mut || report_wait(&name, ui))?;
        // Another `fork` may have taken the name: then the next one is tried.
        if !store.place(&name).has_record() {
            claimed.push((name, lock));
        }
    }
    Ok(claimed)
}

/// The forks that run, and why the others do not.
type Outcome = (Vec<Place>, Vec<(SandboxName, Error)>);

/// Starts all forks at once. A fork that got no identity of its own is killed and removed.
fn start(store: &Store, news: Vec<New>) -> Outcome {
    let results: Vec<Result<Connection, Error>> = thread::scope(|scope| {
        let start = |new: &'_ New| {
            let _turn = Turn::take(store, &mut |_| ())?;
            attend(&new.place, &new.supervise, &new.lock)
        };
        let threads: Vec<_> = news.iter().map(|new| scope.spawn(move || start(new))).collect();
        let ended = |new: &New| Error::Refused {
            name: new.place.name().clone(),
            why: "the thread that started it ended".to_owned(),
        };
        let join = |(thread, new): (thread::ScopedJoinHandle<'_, _>, &New)| {
            thread.join().unwrap_or_else(|_| Err(ended(new)))
        };
        threads.into_iter().zip(&news).map(join).collect()
    });
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for (new, result) in news.into_iter().zip(results) {
        match result {
            Ok(_) => made.push(new.place),
            Err(error) => {
                let name = new.place.name().clone();
                failed.push((name.clone(), error));
                standalone::kill(&new.place.machine().qmp_socket, QUIT);
                if let Err(error) = store.remove(&new.place, new.lock) {
                    failed.push((name, error));
                }
            }
        }
    }
    (made, failed)
}

/// The error if some forks could not be created; it lists those that run.
fn failure(made: &[Place], failed: &[(SandboxName, Error)]) -> Option<CommandError> {
    let ((name, first), others) = failed.split_first()?;
    let mut failure = CommandError::from(first);
    failure.what = format!("the fork {name} was not made: {}", failure.what);
    let fact = |(name, error): &(SandboxName, Error)| format!("{name}: {}", CommandError::from(error).what);
    failure = others.iter().map(fact).fold(failure, CommandError::detail);
    let names: Vec<&str> = made.iter().map(|place| place.name().as_str()).collect();
    Some(failure.detail(match names.as_slice() {
        [] => "no fork was made; the parent continues".to_owned(),
        names => format!("these forks are running: {}", names.join(", ")),
    }))
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
            ui.note(&format!("{name} continues from here"));
            show_address(name, &status, false, ui)?;
        }
    }
    if args.json {
        ui.json(&all)?;
    }
    Ok(Code::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fork_lists_the_forks_that_exist() {
        let store = Store::new(camino::Utf8Path::new("/state"));
        let name = |text: &str| text.parse::<SandboxName>().unwrap();
        let made = [store.place(&name("one")), store.place(&name("three"))];
        let why =
            |text: &str| Error::NotStarted { name: name("x"), why: text.into(), remedy: Some("do".into()) };
        assert!(failure(&made, &[]).is_none());
        let failed = [(name("two"), why("no memory")), (name("four"), why("no ports"))];
        let report = failure(&made, &failed).unwrap();
        assert!(report.what.starts_with("the fork two was not made: ") && report.what.contains("no memory"));
        assert!(
            report.detail[0].starts_with("four: ") && report.detail[0].contains("no ports"),
            "{report:?}"
        );
        assert_eq!(
            (report.detail[1].as_str(), report.remedy.as_str()),
            ("these forks are running: one, three", "do")
        );
        assert!(failure(&[], &failed).unwrap().detail[1].starts_with("no fork was made"));
    }
}
