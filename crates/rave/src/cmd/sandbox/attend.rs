//! The supervisor of a sandbox: found, or started.

use std::time::{Duration, Instant};

use rave_process::interrupt;
use rave_process::progress::{Event, StageOutcome};
use rave_sandbox::control::Status;
use rave_sandbox::start::{Supervise, attend};
use rave_sandbox::state::{current_state, has_processes};
use rave_sandbox::{Connection, Error, LifeLock, Place, SandboxName, Store, Turn};
use rave_vm::terminal_text::plain;

use crate::cli::Accel;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::program::this_program;
use crate::settings;
use crate::ui::Ui;

/// How often a booting sandbox is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a booting sandbox may delay others: longer than a healthy guest takes on an idle host.
const TURN: Duration = Duration::from_secs(60);

/// How long a command waits for space on the host's disk.
const NO_SPACE: Duration = Duration::from_secs(15);

/// The sandbox that a command refers to.
pub(in crate::cmd) struct Named {
    pub(in crate::cmd) store: Store,
    pub(in crate::cmd) name: SandboxName,
}

impl Named {
    /// By a name that a user typed.
    pub(in crate::cmd) fn new(name: &str) -> anyhow::Result<Self> {
        Ok(Self { name: name.parse()?, store: Store::new(&settings::state_dir()?) })
    }

    pub(in crate::cmd) fn place(&self) -> Place {
        self.store.place(&self.name)
    }

    /// Takes the lock of a sandbox, which must exist.
    pub(super) fn lock(&self, ui: &Ui) -> Result<LifeLock, Error> {
        self.store.lock(&self.name, &mut || report_wait(&self.name, ui))
    }

    /// Connects to the supervisor of a sandbox, which must be running; starts a new supervisor if it was killed.
    pub(in crate::cmd) fn connect(&self, ui: &Ui) -> anyhow::Result<Connection> {
        self.store.get(&self.name)?;
        let place = self.place();
        if let Some(connection) = Connection::open(&place) {
            return Ok(connection);
        }
        let lock = self.lock(ui)?;
        if !has_processes(&place) {
            return Err(Error::NotRunning { name: self.name.clone() }.into());
        }
        Ok(attend(&place, &supervisor(&self.name, None)?, &lock)?)
    }
}

pub(super) fn report_wait(name: &SandboxName, ui: &Ui) {
    ui.note(&format!("another command is starting, stopping or removing {name}; waiting for it"));
}

/// This program as a supervisor.
pub(super) fn supervisor(name: &SandboxName, accel: Option<Accel>) -> anyhow::Result<Supervise> {
    let program = this_program()?;
    let mut arguments = vec!["supervise".to_owned(), name.to_string(), "--state".to_owned()];
    arguments.push(settings::state_dir()?.into_string());
    if let Some(accel) = accel {
        let accel_name = if accel == Accel::Kvm { "kvm" } else { "tcg" };
        arguments.extend(["--accel".to_owned(), accel_name.to_owned()]);
    }
    Ok(Supervise { program, arguments })
}

/// Waits for a turn to start a sandbox, and reports the wait.
pub(super) fn turn(store: &Store, ui: &Ui) -> Result<Turn, Error> {
    let sink = ui.sink();
    let mut waits: Option<(String, Instant)> = None;
    let turn = Turn::take(store, &mut |others| {
        let stage = format!("waiting: {others} other sandboxes are starting");
        sink(Event::StageStarted { stage: &stage });
        waits = Some((stage, Instant::now()));
    })?;
    if let Some((stage, since)) = waits {
        sink(Event::StageFinished { stage: &stage, elapsed: since.elapsed(), outcome: StageOutcome::Built });
    }
    Ok(turn)
}

/// The error of a sandbox that is paused because the host's disk is full.
pub(in crate::cmd) fn no_space(name: &SandboxName) -> CommandError {
    CommandError::host_not_ready(format!("the host's disk is full: {name} is paused until there is space"))
        .remedy("free 64 MiB or more; `cargo xtask prune` removes sandboxes that are stopped")
}

/// Waits until a started sandbox can run programs. Others wait for their turn meanwhile, but not for a sandbox that
/// hangs.
pub(super) fn wait_started(
    place: &Place,
    connection: Connection,
    turn: Turn,
    limit: Duration,
    ui: &Ui,
) -> anyhow::Result<Status> {
    let (started, mut turn) = (Instant::now(), Some(turn));
    wait(place, connection, limit, ui, |status| {
        if started.elapsed() >= TURN {
            turn = None;
        }
        status.can_exec
    })
}

/// Waits until `is_enough` holds for a booting sandbox, at most for `limit`, and shows its progress.
pub(super) fn wait(
    place: &Place,
    mut connection: Connection,
    limit: Duration,
    ui: &Ui,
    mut is_enough: impl FnMut(&Status) -> bool,
) -> anyhow::Result<Status> {
    let started = Instant::now();
    let sink = ui.sink();
    let mut current: Option<(String, Instant)> = None;
    let mut lacks_space = LacksSpace::default();
    let close = |current: &mut Option<(String, Instant)>| {
        if let Some((stage, since)) = current.take() {
            let outcome = StageOutcome::Built;
            sink(Event::StageFinished { stage: &stage, elapsed: since.elapsed(), outcome });
        }
    };
    loop {
        let status = match connection.status() {
            Ok(status) => status,
            Err(_) if current_state(place).qemu.is_none() => return Err(ended(place).into()),
            Err(error) => return Err(error.into()),
        };
        if is_enough(&status) {
            close(&mut current);
            return Ok(status);
        }
        let stage = format!("boot: {}", status.stage);
        if !status.stage.is_empty() && current.as_ref().is_none_or(|(known, _)| *known != stage) {
            close(&mut current);
            sink(Event::StageStarted { stage: &stage });
            current = Some((stage, Instant::now()));
        }
        if lacks_space.lasts(status.lacks_space) {
            return Err(no_space(place.name()).into());
        }
        if started.elapsed() >= limit {
            return Err(hangs(place, &status, limit).into());
        }
        interrupt::pause(POLL_INTERVAL)?;
    }
}

/// Since when a sandbox has been paused because the host's disk is full.
#[derive(Default)]
struct LacksSpace(Option<Instant>);

impl LacksSpace {
    /// Whether there is no point in waiting for it; `is_lacking` is its current state.
    fn lasts(&mut self, is_lacking: bool) -> bool {
        if !is_lacking {
            self.0 = None;
            return false;
        }
        self.0.get_or_insert_with(Instant::now).elapsed() >= NO_SPACE
    }
}

fn ended(place: &Place) -> CommandError {
    let name = place.name();
    CommandError::new(Code::CheckFailed, format!("the sandbox {name} ended while waiting for it"))
        .remedy(format!("see its console: cargo xtask logs {name}"))
}

fn hangs(place: &Place, status: &Status, limit: Duration) -> CommandError {
    let name = place.name();
    let seconds = limit.as_secs();
    let what = format!(
        "the sandbox {name} is not ready after {seconds} s; current stage: {}",
        plain(&status.stage).trim()
    );
    let failure = status.failure.iter().map(|failure| plain(failure).trim().to_owned());
    failure.fold(CommandError::new(Code::CheckFailed, what), CommandError::detail).remedy(format!(
        "see its console: cargo xtask logs {name}; or remove it: cargo xtask rm --force {name}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_gets_no_space_is_not_waited_for() {
        let early = Instant::now().checked_sub(NO_SPACE).expect("the host is up for longer");
        assert!(!LacksSpace::default().lasts(true), "another program may free some");
        assert!(LacksSpace(Some(early)).lasts(true));
        let mut resumed = LacksSpace(Some(early));
        assert!(!resumed.lasts(false) && !resumed.lasts(true), "it counts from the last pause");
    }
}
