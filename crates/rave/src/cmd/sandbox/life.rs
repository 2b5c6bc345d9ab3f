//! `stop`, `start` and `rm`.

use std::time::Duration;

use rave_process::interrupt;
use rave_sandbox::control::{Answer, EndKind, Order};
use rave_sandbox::start::attend;
use rave_sandbox::state::current_state;
use rave_sandbox::{Connection, Error};
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;
use rave_vm::standalone;

use super::agent_key;
use super::attend::{Named, report_wait, supervisor, turn, wait_started};
use super::{limits, ssh_config};
use crate::cli;
use crate::cmd::run::deadline;
use crate::cmd::workspace::seen;
use crate::command_error::lines_of;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// How long a killed QEMU may take to end.
const QUIT: Duration = Duration::from_secs(10);

/// Applies `act` to each sandbox. A failure does not affect the others; the last error is returned.
fn each(names: &[String], ui: &Ui, mut act: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<Code> {
    let mut failed = None;
    for name in names {
        let Err(error) = act(name) else { continue };
        if interrupt::requested().is_some() {
            return Err(error);
        }
        if let Some(earlier) = failed.replace(error) {
            ui.error(&lines_of(&earlier));
        }
    }
    failed.map_or(Ok(Code::Ok), Err)
}

/// Powers sandboxes off.
pub(super) fn stop(args: &cli::Stop, ui: &Ui) -> anyhow::Result<Code> {
    each(&args.names, ui, |name| {
        let named = Named::new(name)?;
        let mut connection = match named.connect(ui) {
            Ok(connection) => connection,
            // It is already stopped.
            Err(error) if matches!(error.downcast_ref(), Some(Error::NotRunning { .. })) => {
                ui.note(&format!("{name} is not running"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let status = connection.status().ok();
        if status.as_ref().is_some_and(|status| status.lacks_space) {
            ui.warn(&format!(
                "the host's disk is full: {name} is paused, and can only power itself off if some is freed now"
            ));
        }
        let mut fetched = None;
        // A guest that is still booting has changed nothing; do not wait for it.
        if status.is_some_and(|status| status.can_exec) {
            fetched = seen::before_stop(&named, args.timeout, ui);
            // The supervisor closes idle connections, so reconnect.
            connection = named.connect(ui)?;
        }
        match end(connection, args.timeout, fetched)? {
            EndKind::PoweredOff | EndKind::Died => ui.note(&format!("{name} has stopped")),
            EndKind::Ended => {
                let seconds = args.timeout.as_secs();
                ui.warn(&format!("{name} did not power off within {seconds} s and was killed"));
            }
        }
        Ok(())
    })
}

/// Stops a machine, whose changes were last fetched at this time; returns how it ended.
pub(super) fn end(
    mut connection: Connection,
    grace: Duration,
    fetched: Option<u64>,
) -> Result<EndKind, Error> {
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    let order = Order::Stop { grace_ms, fetched };
    let answer = connection.order_while(&order, &mut || interrupt::requested().is_none());
    interrupt::check()?;
    match answer? {
        Answer::Stopped { how } => Ok(how),
        other => {
            Err(Error::Refused { name: connection.name().clone(), why: format!("it answered {other:?}") })
        }
    }
}

/// Starts stopped sandboxes, and waits until they run programs.
pub(super) fn start(args: &cli::Start, ui: &Ui) -> anyhow::Result<Code> {
    let accel = settings::asked_accel(args.accel)?;
    each(&args.names, ui, |name| {
        let named = Named::new(name)?;
        let place = named.place();
        let lock = named.lock(ui)?;
        agent_key::keep(&place, args.ssh_agent.as_ref())?;
        let turn = turn(&named.store, ui)?;
        // After the wait: others have started meanwhile.
        if current_state(&place).qemu.is_none() {
            limits::check(&named.store)?;
        }
        let connection = attend(&place, &supervisor(&named.name, accel)?, &lock)?;
        drop(lock);
        let probe = super::supervise::probe(&Qemu::find(Arch::X86_64)?, &settings::state_dir()?, accel)?;
        wait_started(&place, connection, turn, deadline(probe.accelerator()), ui)?;
        ui.note(&format!("{name} runs"));
        Ok(())
    })
}

/// Removes sandboxes.
pub(in crate::cmd) fn remove(args: &cli::Rm, ui: &Ui) -> anyhow::Result<Code> {
    each(&args.names, ui, |name| {
        let named = Named::new(name)?;
        let place = named.place();
        let lock = match named.lock(ui) {
            // A sandbox with an unreadable record can still be removed.
            Err(Error::BadRecord { .. }) if args.force => {
                named.store.lock_unreadable(&named.name, &mut || report_wait(&named.name, ui))?
            }
            lock => lock?,
        };
        if current_state(&place).qemu.is_some() {
            if !args.force {
                return Err(Error::Running { name: named.name }.into());
            }
            let ended = supervisor(&named.name, None)
                .and_then(|supervisor| Ok(attend(&place, &supervisor, &lock)?))
                .and_then(|connection| Ok(end(connection, Duration::ZERO, None)?));
            interrupt::check()?;
            if let Err(error) = ended {
                ui.warn(&format!("{name} did not stop, and is killed: {error}"));
                standalone::kill(&place.machine().qmp_socket, QUIT);
            }
            if current_state(&place).qemu.is_some() {
                return Err(Error::Running { name: named.name }.into());
            }
        } else if !args.force {
            seen::refuse_unapplied(&named)?;
        }
        named.store.remove(&place, lock)?;
        ssh_config::write(&named.store)?;
        ui.note(&format!("{name} is removed"));
        Ok(())
    })
}
