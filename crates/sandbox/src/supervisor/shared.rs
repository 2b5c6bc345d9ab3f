//! What the supervisor's threads share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rave_guest::channel::client::Client;
use rave_vm::standalone::{Progress, Standalone};

use super::network::Connected;
use crate::control::{ClockReport, EndKind, Origin, Status};
use crate::unix_time::now;

/// A wish to end the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopWish {
    /// How long the guest may take.
    pub(super) grace: Duration,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    network: Connected,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    status: Status,
    boot_id: Option<String>,
    /// How often the machine went on after a stop.
    resumes: u64,
    client: Option<Client>,
    stop: Option<StopWish>,
    ended: Option<EndKind>,
    /// Commands that wait to be told of the end.
    waiting: usize,
}

impl Shared {
    pub(super) fn new(machine: &Standalone, origin: Origin, network: Connected) -> Self {
        let status = Status {
            supervisor: std::process::id(),
            qemu: machine.pid(),
            origin,
            since: now(),
            stage: String::new(),
            can_exec: false,
            is_ready: false,
            failure: None,
            host_keys: Vec::new(),
            starting: network.open(&[]),
            forwards: network.forwards.clone(),
            clock: None,
            running: 0,
            last_use: now(),
        };
        let state =
            State { status, boot_id: None, resumes: 0, client: None, stop: None, ended: None, waiting: 0 };
        Self { state: Mutex::new(state), network, changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `found` finds something, at most for `limit`; the end of the machine ends the wait.
    fn wait<T>(&self, limit: Duration, found: impl Fn(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&state) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended.is_some() {
                return None;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What the guest may reach.
    pub(super) fn network(&self) -> &Connected {
        &self.network
    }

    pub(super) fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// Takes note of how far the guest is. A new boot has a new server at the channel's other end.
    pub(super) fn progress(&self, progress: Progress) {
        // Before anybody is told that a service is there.
        let starting = self.network.open(&progress.services);
        self.change(|state| {
            state.status.starting = starting;
            if progress.boot_id.is_some() && state.boot_id != progress.boot_id {
                if state.boot_id.is_some()
                    && let Some(client) = state.client.take()
                {
                    client.close();
                    state.status.can_exec = false;
                }
                state.boot_id.clone_from(&progress.boot_id);
            }
            state.status.stage = progress.stage.to_string();
            state.status.is_ready = progress.is_ready;
            state.status.failure = progress.failure;
            state.status.host_keys = progress.host_keys;
        });
    }

    pub(super) fn restarted(&self, machine: &Standalone) {
        self.change(|state| {
            state.status.qemu = machine.pid();
            state.status.since = now();
        });
    }

    /// A session with the guest began, or ended.
    pub(super) fn session(&self, client: Option<Client>) {
        self.change(|state| {
            state.status.can_exec = client.is_some();
            state.client = client;
        });
    }

    /// The session with the guest, once there is one.
    pub(super) fn client(&self, limit: Duration) -> Option<Client> {
        self.wait(limit, |state| state.client.clone().filter(|client| !client.has_ended()))
    }

    /// A program begins; until the value is dropped.
    pub(super) fn program(&self) -> Running<'_> {
        self.change(|state| {
            state.status.running += 1;
            state.status.last_use = now();
        });
        Running(self)
    }

    /// Somebody uses one of its services now.
    pub(super) fn used(&self) {
        self.change(|state| state.status.last_use = now());
    }

    /// Takes note of how often the machine went on after a stop.
    pub(super) fn resumed(&self, resumes: u64) {
        if self.lock().resumes != resumes {
            self.change(|state| state.resumes = resumes);
        }
    }

    pub(super) fn resumes(&self) -> u64 {
        self.lock().resumes
    }

    /// The guest's clock was set.
    pub(super) fn clock(&self, report: ClockReport) {
        self.change(|state| state.status.clock = Some(report));
    }

    pub(super) fn stop(&self, wish: StopWish) {
        self.change(|state| {
            // The shortest counts: a second order may be the impatient one.
            let grace = state.stop.map_or(wish.grace, |earlier| earlier.grace.min(wish.grace));
            state.stop = Some(StopWish { grace });
        });
    }

    pub(super) fn stop_wish(&self) -> Option<StopWish> {
        self.lock().stop
    }

    pub(super) fn ended(&self, how: EndKind) {
        self.change(|state| state.ended = Some(how));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Waits for the machine's end and tells it.
    pub(super) fn tell_end<T>(&self, limit: Duration, tell: impl FnOnce(Option<EndKind>) -> T) -> T {
        self.change(|state| state.waiting += 1);
        let told = tell(self.wait(limit, |state| state.ended));
        self.change(|state| state.waiting -= 1);
        told
    }

    /// Waits until everybody who waited for the end was told.
    pub(super) fn wait_told(&self, limit: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout_while(state, limit, |state| state.waiting > 0));
    }
}

/// A program that runs.
pub(super) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.status.running -= 1;
            state.status.last_use = now();
        });
    }
}
