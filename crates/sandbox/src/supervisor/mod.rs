//! The one process that owns a running sandbox: QEMU's control socket, the channel to the guest, its ports. QEMU does
//! not end with it: if a supervisor is killed by SIGKILL, another one attaches.

mod agent;
mod attempts;
mod clock;
mod denied;
mod exec;
mod expiry;
mod first;
mod freeze;
mod guest;
mod host;
mod network;
mod serve;
mod shared;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_audit::Event;
use rave_process::interrupt;
use rave_vm::accel::Accelerator;
use rave_vm::boot::BootStage;
use rave_vm::instance::RESTARTS;
use rave_vm::standalone::{Progress, Standalone};

use crate::control::{EndKind, Origin};
use crate::error::Error;
use crate::files::{remove, save};
use crate::identity::Identity;
use crate::name::SandboxName;
use crate::place::Place;
use crate::record::Record;
use crate::secrets::Credentials;
use crate::start::Failure;
use crate::state::End;
use first::Started;
pub use host::Host;
use host::{QUIT, last_ports};
use shared::{Shared, StopRequest};

/// How often to check the machine.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often the power button is pressed again: a guest that is still booting ignores it.
const PRESS_INTERVAL: Duration = Duration::from_secs(5);
/// How long it may take to notify the commands that wait for the end.
const NOTIFY_LIMIT: Duration = Duration::from_secs(5);
/// How long an earlier supervisor may take to release its lock.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// Supervises a sandbox until its machine has ended: starts the machine, or attaches to a running one. `host` is only
/// called if it must be started. If that fails, the reason is saved for the command that waits.
pub fn run(
    place: &Place,
    record: &Record,
    credentials: Credentials,
    host: impl FnOnce() -> Result<Host, Error>,
) -> Result<(), Error> {
    let prepared = Prepared::new(place, record, credentials, host);
    match prepared {
        Ok(prepared) => prepared.watch(),
        Err(error) => {
            let failure = Failure { why: error.to_string(), remedy: remedy(&error, place.name()) };
            save(&place.failure(), &failure)?;
            Err(error)
        }
    }
}

/// The remedy of an error; another port is chosen by `up`.
fn remedy(error: &Error, name: &SandboxName) -> Option<String> {
    match error {
        Error::Vm(rave_vm::Error::PortTaken(taken)) => {
            Some(format!("choose another port: cargo xtask up {name} --port {}=auto", taken.service))
        }
        error => error.remedy(),
    }
}

struct Prepared {
    place: Place,
    machine: Standalone,
    shared: Arc<Shared>,
    host: Option<Host>,
    /// Whether this supervisor started it under software emulation.
    is_emulated: bool,
    /// Whether it was resumed from a template, in which case firmware and kernel print nothing.
    is_clone: bool,
    /// If it was resumed from a moment: its new SSH host key.
    resumed: Option<String>,
    restarts: u32,
    expiry: expiry::Watch,
    /// Why it was stopped without a request.
    expired: Option<String>,
    _lock: File,
}

impl Prepared {
    fn new(
        place: &Place,
        record: &Record,
        credentials: Credentials,
        host: impl FnOnce() -> Result<Host, Error>,
    ) -> Result<Self, Error> {
        let lock = lock(place)?;
        let mut running = Standalone::attach(record.running_machine(place)?)?;
        if let Some(machine) = running.take_if(|_| first::is_without_identity(place)) {
            let mut machine = machine;
            // The supervisor that should have given it an identity was killed.
            machine.end(QUIT);
        }
        let mut is_attached = false;
        let host_was_asked = running.is_none();
        let (started, connected, host) = if let Some(machine) = running {
            let connected = network::attach(place, &machine.machine().forwards, credentials)?;
            // We do not know what happened to its clock in the meantime.
            is_attached = true;
            (Started { machine, client: None, origin: Origin::Disk }, connected, None)
        } else {
            let host = host()?;
            let connected = network::start(place, record, &last_ports(place), credentials)?;
            remove(&place.end())?;
            let started = first::start(place, record, &host, &connected)?;
            // A clone is never restarted: it would be a different machine.
            let host = (!matches!(started.origin, Origin::Template | Origin::Moment)).then_some(host);
            (started, connected, host)
        };
        let Started { mut machine, client, origin } = started;
        let is_clone = origin == Origin::Template;
        let resumed =
            if machine.is_resumed() { Identity::of(place).map(|own| own.receipt.host_key) } else { None };
        let event = if host_was_asked {
            Event::Started { origin: origin.as_str().to_owned() }
        } else {
            Event::Attended
        };
        let shared = Arc::new(Shared::new(&machine, origin, connected));
        shared.record(event);
        if is_attached && let Ok(progress) = machine.poll() {
            // The first command to ask must find the ready services open.
            shared.progress(progress);
        }
        guest::keep_session(&shared, machine.machine().files.channel_socket.clone(), client);
        clock::keep(&shared, is_attached);
        denied::keep_notified(&shared, place.name().clone());
        if let Some(forwarded) = shared.network().forwarded() {
            agent::keep_serving(&shared, forwarded.clone());
        }
        listen(place, &shared)?;
        let is_emulated = host.as_ref().is_some_and(|host| host.engine.accelerator() == Accelerator::Tcg);
        Ok(Self {
            place: place.clone(),
            machine,
            shared,
            host,
            is_emulated,
            is_clone,
            resumed,
            restarts: 0,
            expiry: expiry::Watch::new(record.expiry),
            expired: None,
            _lock: lock,
        })
    }

    /// Watches until the machine has ended, or the system ends this process, in which case the machine continues.
    fn watch(mut self) -> Result<(), Error> {
        let mut stopping: Option<(Instant, StopRequest)> = None;
        let mut pressed: Option<Instant> = None;
        let mut forced = false;
        while !self.machine.has_ended(POLL_INTERVAL) {
            if interrupt::requested().is_some() {
                self.shared.network().flush();
                return Ok(());
            }
            if let Ok(mut progress) = self.machine.poll() {
                if self.is_clone && progress.stage.is_before_userspace() {
                    progress.stage = BootStage::Userspace;
                }
                self.shared.progress(match &self.resumed {
                    Some(key) => of_resumed(progress, key),
                    None => progress,
                });
                self.shared.resumed(self.machine.resumes());
                self.shared.space(self.machine.lacks_space());
            }
            self.machine.resume_with_space();
            if let Some(request) = self.shared.next_freeze() {
                let frozen = freeze::run(&mut self.machine, &self.place, &self.shared, &request.folder);
                // A command that is gone needs no answer.
                let _ = request.reply.send(frozen);
            }
            if self.expired.is_none()
                && let Some(why) = self.expiry.due(&self.shared)
            {
                self.shared.stop(StopRequest { grace: expiry::GRACE, fetched: None });
                self.expired = Some(why);
            }
            let Some(request) = self.shared.stop_request() else {
                if self.is_emulated && self.restarts < RESTARTS && self.machine.has_lost_timer() {
                    self.machine.end(QUIT);
                }
                continue;
            };
            let (since, _) = *stopping.get_or_insert((Instant::now(), request));
            if since.elapsed() >= request.grace {
                forced = true;
                self.machine.end(QUIT);
            } else if pressed.is_none_or(|at| at.elapsed() >= PRESS_INTERVAL) {
                pressed = Some(Instant::now());
                self.machine.press_power_button();
            }
        }
        if self.restart()? {
            return self.watch();
        }
        let how = match (forced, self.machine.was_shut_down()) {
            (true, _) => EndKind::Ended,
            (_, true) => EndKind::PoweredOff,
            _ => EndKind::Died,
        };
        self.finish(how)
    }

    /// Restarts QEMU if its emulation failed before the guest's userspace, which is a fault of QEMU itself.
    fn restart(&mut self) -> Result<bool, Error> {
        let Some(host) = &self.host else { return Ok(false) };
        if self.restarts >= RESTARTS || self.shared.stop_request().is_some() || !self.machine.may_restart() {
            return Ok(false);
        }
        self.restarts += 1;
        self.machine = Standalone::start(self.machine.machine().clone(), host.engine, &host.qemu)?;
        self.shared.restarted(&self.machine);
        Ok(true)
    }

    fn finish(self, how: EndKind) -> Result<(), Error> {
        let detail = match how {
            EndKind::Died => self.machine.last_output().join("\n"),
            _ => self.expired.clone().unwrap_or_default(),
        };
        let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        self.shared.record(Event::Stopped { how: format!("{}{why}", how.as_str()) });
        self.shared.network().flush();
        let fetched = self.shared.stop_request().and_then(|request| request.fetched);
        // In this order: once a command is answered, it finds the end recorded, and no new command connects that would
        // not be answered. On a full disk there is no record, but still an answer.
        let forgotten = first::forget_memory(&self.place);
        let saved = save(&self.place.end(), &End { how, detail, fetched });
        let removed = remove(&self.place.control_socket());
        self.shared.ended(how);
        self.shared.wait_notified(NOTIFY_LIMIT);
        forgotten.and(saved).and(removed)
    }
}

/// Adjusts the progress of a machine that was resumed from a moment. Its boot was another machine's, and its own host
/// key is in its receipt; it is ready once its services have reported again, because their earlier reports went to the
/// other machine's host.
fn of_resumed(progress: Progress, host_key: &str) -> Progress {
    if progress.boot_id.is_some() {
        return progress;
    }
    Progress { stage: BootStage::Userspace, host_keys: vec![host_key.to_owned()], ..progress }
}

/// Only one supervisor at a time; the kernel releases the lock with the process.
fn lock(place: &Place) -> Result<File, Error> {
    let path = place.supervisor_lock();
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = open.map_err(|e| Error::io("lock", &path, e))?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(Error::io("lock", &path, ErrorKind::WouldBlock.into()));
            }
            Err(TryLockError::WouldBlock) => interrupt::pause(POLL_INTERVAL)?,
        }
    }
}

/// Listens so that only this user can connect.
fn listen(place: &Place, shared: &Arc<Shared>) -> Result<(), Error> {
    let path = place.control_socket();
    remove(&path)?;
    // The folder has mode 0700, so no other user can connect before the socket's own mode is set.
    let listener = UnixListener::bind(&path).map_err(|e| Error::io("listen on", &path, e))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
        .map_err(|e| Error::io("set the mode of", &path, e))?;
    serve::start(listener, Arc::clone(shared)).map_err(|e| Error::io("listen on", &path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_guest::protocol::GuestStage;

    #[test]
    fn a_resumed_machine_is_ready_after_its_services_report() {
        let silent = Progress {
            stage: BootStage::Firmware,
            is_ready: false,
            failure: None,
            host_keys: Vec::new(),
            services: Vec::new(),
            boot_id: None,
        };
        let resumed = of_resumed(silent.clone(), "ssh-ed25519 AAAA");
        assert_eq!((resumed.is_ready, resumed.stage), (false, BootStage::Userspace));
        assert_eq!(resumed.host_keys, ["ssh-ed25519 AAAA"]);
        let stage = BootStage::Service(GuestStage::Ready);
        let reported = Progress { boot_id: Some("b".into()), is_ready: true, stage, ..silent };
        assert_eq!(of_resumed(reported.clone(), "other"), reported);
    }
}
