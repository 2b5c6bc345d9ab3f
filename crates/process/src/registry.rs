//! The running commands, and how to signal all of them.
//!
//! A target is removed from the list before its process is reaped, under the same lock under which signals are sent: a
//! reused process id is never signalled.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::interrupt;
use crate::watchdog::Watchdog;

/// The destination of a command's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The process group that the command leads.
    Group(Pid),
    /// Only the process: it shares our group and the terminal.
    Process(Pid),
}

impl Target {
    /// Sends `signal`. Errors are ignored: the process may be gone already, or belong to another user (sudo).
    fn signal(self, signal: Signal) {
        let _ = match self {
            Self::Group(pid) => kill_process_group(pid, signal),
            Self::Process(pid) => kill_process(pid, signal),
        };
    }

    /// The operand of kill(1).
    fn operand(self) -> i32 {
        match self {
            Self::Group(pid) => -pid.as_raw_nonzero().get(),
            Self::Process(pid) => pid.as_raw_nonzero().get(),
        }
    }
}

/// How a command reacts to an interrupt of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// Stop with it.
    Stop,
    /// Continue until the caller ends it.
    GoOn,
}

struct Entry {
    target: Target,
    on_interrupt: OnInterrupt,
    asked_to_stop: bool,
}

struct Registry {
    entries: Vec<Entry>,
    watchdog: Option<Watchdog>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { entries: Vec::new(), watchdog: None });

fn registry() -> MutexGuard<'static, Registry> {
    // Each change is one push or one removal, so a panic elsewhere leaves nothing half done.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// Notifies the watchdog; if it was killed, it is replaced by a new one with the complete list.
    fn notify(&mut self, notify: impl Fn(&mut Watchdog) -> io::Result<()>) -> io::Result<()> {
        if let Some(watchdog) = &mut self.watchdog
            && notify(watchdog).is_ok()
        {
            return Ok(());
        }
        self.watchdog = None;
        let mut watchdog = Watchdog::start()?;
        for entry in &self.entries {
            watchdog.add(entry.target.operand())?;
        }
        self.watchdog = Some(watchdog);
        Ok(())
    }
}

/// Starts the watchdog if there is none, so that a command can be announced immediately after its start.
pub(crate) fn prepare() -> io::Result<()> {
    let mut registry = registry();
    if registry.watchdog.is_none() { registry.notify(|_| Ok(())) } else { Ok(()) }
}

/// Announces a command that has just been started.
pub(crate) fn add(target: Target, on_interrupt: OnInterrupt) -> io::Result<()> {
    let mut registry = registry();
    // An interrupt since the caller's check has already gone through the list.
    let late = on_interrupt == OnInterrupt::Stop && interrupt::requested().is_some();
    if late {
        target.signal(Signal::KILL);
    }
    registry.entries.push(Entry { target, on_interrupt, asked_to_stop: late });
    registry.notify(|watchdog| watchdog.add(target.operand()))
}

/// Removes a command that is about to be reaped or detached.
pub(crate) fn remove(target: Target) {
    let mut registry = registry();
    registry.entries.retain(|entry| entry.target != target);
    // Without a watchdog the rest is unwatched; the next command tries to start one, and reports why it cannot.
    let _ = registry.notify(|watchdog| watchdog.remove(target.operand()));
}

/// Sends `signal` to one command, if it is still running.
pub(crate) fn signal(target: Target, signal: Signal) {
    if registry().entries.iter().any(|entry| entry.target == target) {
        target.signal(signal);
    }
}

/// Asks every command to stop, except those that continue.
pub(crate) fn ask_all() {
    for entry in &mut registry().entries {
        if entry.on_interrupt == OnInterrupt::Stop {
            entry.asked_to_stop = true;
            entry.target.signal(Signal::TERM);
        }
    }
}

/// Kills every command that was asked to stop and is still running.
pub(crate) fn kill_asked() {
    registry()
        .entries
        .iter()
        .filter(|entry| entry.asked_to_stop)
        .for_each(|entry| entry.target.signal(Signal::KILL));
}

/// Kills every command.
pub(crate) fn kill_all() {
    registry().entries.iter().for_each(|entry| entry.target.signal(Signal::KILL));
}
