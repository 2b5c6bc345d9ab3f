//! What the supervisor's threads share.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rave_audit::Event;
use rave_guest::channel::client::Client;
use rave_guest::channel::message::Request;
use rave_guest::channel::provision::Provision;
use rave_vm::standalone::{Progress, Standalone};

use super::network::Connected;
use crate::control::{ClockReport, EndKind, Origin, Status};
use crate::unix_time::now;

/// How long a guest may take to accept what it is provided with.
const PROVIDE: Duration = Duration::from_secs(60);

/// A request to end the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopRequest {
    /// How long the guest may take.
    pub(super) grace: Duration,
    /// When the changes of its workspace were fetched for this, seconds since 1970.
    pub(super) fetched: Option<u64>,
}

/// A request to save the machine at this moment.
#[derive(Debug)]
pub(super) struct FreezeRequest {
    /// The destination.
    pub(super) folder: Utf8PathBuf,
    /// Receives how long the machine was paused, or why it was not saved.
    pub(super) reply: Sender<Result<Duration, String>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    network: Connected,
    /// What the guest was last provided with in a session.
    given: Mutex<Provision>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    status: Status,
    boot_id: Option<String>,
    /// How often the machine was resumed after a stop.
    resumes: u64,
    client: Option<Client>,
    stop: Option<StopRequest>,
    ended: Option<EndKind>,
    freezes: Vec<FreezeRequest>,
    /// The machine is being saved, and no program is started.
    is_held: bool,
    /// The number of commands that wait to be notified of the end.
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
            lacks_space: false,
            record_failure: None,
        };
        let state = State {
            status,
            boot_id: None,
            resumes: 0,
            client: None,
            stop: None,
            ended: None,
            freezes: Vec::new(),
            is_held: false,
            waiting: 0,
        };
        Self { state: Mutex::new(state), network, given: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `found` returns something, at most for `limit`; also stops waiting when the machine ends.
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

    /// Sends the guest what its network provides, if that has changed; returns why the guest does not accept it.
    pub(super) fn provide(&self, client: &Client) -> Result<(), String> {
        let provision = self.network.provision();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if *given == provision {
            return Ok(());
        }
        let asked = client.ask(&Request::Provide(provision.clone()), PROVIDE);
        asked.map_err(|error| format!("the guest does not accept the authority that opens TLS: {error}"))?;
        *given = provision;
        Ok(())
    }

    /// Records an event.
    pub(super) fn record(&self, event: Event) {
        self.network.recorder.see(event);
    }

    pub(super) fn status(&self) -> Status {
        let record_failure = self.network.recorder.failure();
        Status { record_failure, ..self.lock().status.clone() }
    }

    /// Updates how far the guest has booted. A new boot has a new server at the other end of the channel.
    pub(super) fn progress(&self, progress: Progress) {
        // Before any command learns that a service is ready.
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

    /// A session with the guest has begun or ended.
    pub(super) fn session(&self, client: Option<Client>) {
        self.change(|state| {
            state.status.can_exec = client.is_some();
            state.client = client;
        });
    }

    /// The session with the guest, once there is one.
    pub(super) fn client(&self, limit: Duration) -> Option<Client> {
        self.wait(limit, |state| state.client.clone().filter(|client| !state.is_held && !client.has_ended()))
    }

    /// Requests the machine to be saved by the thread that owns it, and waits; returns how long it was paused, or why
    /// it was not saved.
    pub(super) fn freeze(&self, folder: Utf8PathBuf) -> Result<Duration, String> {
        let (reply, done) = channel();
        self.change(|state| state.freezes.push(FreezeRequest { folder, reply }));
        // The sender is dropped if the machine has ended.
        done.recv().unwrap_or_else(|_| Err("its machine has ended".into()))
    }

    /// The next request to save the machine.
    pub(super) fn next_freeze(&self) -> Option<FreezeRequest> {
        self.lock().freezes.pop()
    }

    /// The session with the guest, reserved for saving the machine until [`Shared::release`].
    pub(super) fn hold(&self) -> Option<Client> {
        let client = self.lock().client.clone().filter(|client| !client.has_ended());
        self.change(|state| state.is_held = true);
        client
    }

    /// Programs may be started again.
    pub(super) fn release(&self) {
        self.change(|state| state.is_held = false);
    }

    /// A program has started; it counts as running until the value is dropped.
    pub(super) fn program(&self) -> Running<'_> {
        self.change(|state| {
            state.status.running += 1;
            state.status.last_use = now();
        });
        Running(self)
    }

    /// One of its services is in use now.
    pub(super) fn used(&self) {
        self.change(|state| state.status.last_use = now());
    }

    /// Updates how often the machine was resumed after a stop.
    pub(super) fn resumed(&self, resumes: u64) {
        if self.lock().resumes != resumes {
            self.change(|state| state.resumes = resumes);
        }
    }

    pub(super) fn resumes(&self) -> u64 {
        self.lock().resumes
    }

    /// Updates whether the machine is paused because the host's disk is full.
    pub(super) fn space(&self, is_lacking: bool) {
        if self.lock().status.lacks_space != is_lacking {
            self.change(|state| state.status.lacks_space = is_lacking);
        }
    }

    /// The guest's clock was set.
    pub(super) fn clock(&self, report: ClockReport) {
        self.change(|state| state.status.clock = Some(report));
    }

    pub(super) fn stop(&self, request: StopRequest) {
        self.change(|state| {
            // The shortest grace period counts: a second request may be more urgent.
            let grace = state.stop.map_or(request.grace, |earlier| earlier.grace.min(request.grace));
            let fetched = request.fetched.or(state.stop.and_then(|earlier| earlier.fetched));
            state.stop = Some(StopRequest { grace, fetched });
        });
    }

    pub(super) fn stop_request(&self) -> Option<StopRequest> {
        self.lock().stop
    }

    pub(super) fn ended(&self, how: EndKind) {
        self.change(|state| {
            state.ended = Some(how);
            state.freezes.clear();
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Waits for the machine's end and reports it.
    pub(super) fn report_end<T>(&self, limit: Duration, notify: impl FnOnce(Option<EndKind>) -> T) -> T {
        self.change(|state| state.waiting += 1);
        let result = notify(self.wait(limit, |state| state.ended));
        self.change(|state| state.waiting -= 1);
        result
    }

    /// Waits until all waiting commands have been notified of the end.
    pub(super) fn wait_notified(&self, limit: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout_while(state, limit, |state| state.waiting > 0));
    }
}

/// A running program.
pub(super) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.status.running -= 1;
            state.status.last_use = now();
        });
    }
}
