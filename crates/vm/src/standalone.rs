//! A running machine that belongs to no process: QEMU continues if the process that started it is killed, and another
//! process attaches to it through its sockets.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::channel::client::Client as Guest;
use rave_guest::protocol::{GuestEvent, GuestStage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use crate::Error;
use crate::accel::Engine;
use crate::argv::RESUMED;
use crate::boot::watch::Watch;
use crate::boot::{BootStage, stage_detector::DeadEnd};
use crate::files::make_private_dir;
use crate::instance::{LOST_RACE, PATIENT, launch};
use crate::log_limit::{LogLimit, tail};
use crate::machine::Machine;
use crate::moment::{Freezing, Frozen, Moment};
use crate::qemu::Qemu;
use crate::qmp::{Client, QMP_DEADLINE};
use crate::ring;
use crate::run_dir::InstanceRecord;
use crate::space::{Seen, Space};
use crate::template::{self, Template, restore};

/// How often a full disk is looked for while talking to the guest.
/// How much of QEMU's output is read for its last lines, bytes.
const MAX_OUTPUT: u64 = 64 * 1024;
const TALK_CHECK: Duration = Duration::from_millis(100);

/// A running machine. Dropping it does not end the machine.
#[derive(Debug)]
pub struct Standalone {
    machine: Machine,
    pid: u32,
    process: OwnedFd,
    qmp: Client,
    watch: Watch,
    seen: Seen,
    _log_limit: LogLimit,
}

/// How far a guest has booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The stage that the boot has reached.
    pub stage: BootStage,
    /// The guest is fully ready.
    pub is_ready: bool,
    /// The last event of a failed stage, or why the guest's kernel or init gave up.
    pub failure: Option<String>,
    /// The SSH server's public keys, once the guest has reported them.
    pub host_keys: Vec<String>,
    /// The services that have reported in this boot that they respond, by their names in `rave.toml`.
    pub services: Vec<&'static str>,
    /// The id of this boot of the guest's kernel, once known.
    pub boot_id: Option<String>,
}

/// The way to the guest of a machine.
#[derive(Debug)]
pub struct Channel {
    socket: Utf8PathBuf,
}

impl Channel {
    /// Begins a session with the guest; also returns whether the guest is at its barrier.
    pub fn session(&self, limit: Duration) -> Result<(Guest, bool), Error> {
        let begun = template::begin(&self.socket, limit);
        let begun = begun.map_err(|e| Error::io("talk to the guest over", &self.socket, e));
        begun.map(|(client, welcome)| (client, welcome.at_barrier))
    }

    /// Begins a session with the guest of a clone or a fork that has no identity yet.
    pub fn at_barrier(&self, limit: Duration) -> Result<Guest, Error> {
        let (client, is_at_barrier) = self.session(limit)?;
        if is_at_barrier {
            return Ok(client);
        }
        let why = io::Error::other("it is not at its barrier");
        Err(Error::io("talk to the guest over", &self.socket, why))
    }
}

impl Standalone {
    /// Starts the machine and detaches it. The caller must hold a lock that keeps other processes out of its folder.
    pub fn start(machine: Machine, engine: Engine, qemu: &Qemu) -> Result<Self, Error> {
        make_private_dir(&machine.files.run_dir)?;
        let (machine, child, qmp, watch) = launch(machine, engine, qemu)?;
        let pid = child.detach();
        Self::new(machine, pid, qmp, watch)
    }

    /// Starts a clone: the machine's memory is a [`Memory::CopyOf`] a template's. It resumes at its guest's barrier,
    /// and first needs an identity of its own ([`crate::template::renew`]).
    ///
    /// [`Memory::CopyOf`]: crate::machine::Memory::CopyOf
    pub fn start_clone(machine: Machine, of: &Template, engine: Engine, qemu: &Qemu) -> Result<Self, Error> {
        make_private_dir(&machine.files.run_dir)?;
        let (machine, child, mut qmp, watch) = launch(machine, engine, qemu)?;
        // Dropping the child ends it.
        restore(&mut qmp, &of.devices())?;
        let pid = child.detach();
        Self::new(machine, pid, qmp, watch)
    }

    /// Resumes a machine from a moment; [`Moment::machine`] returns such a machine. Its guest is paused, and a fork
    /// first needs an identity ([`crate::template::renew`]).
    ///
    /// [`Moment::machine`]: crate::moment::Moment::machine
    pub fn resume(machine: Machine, of: &Moment, engine: Engine, qemu: &Qemu) -> Result<Self, Error> {
        make_private_dir(&machine.files.run_dir)?;
        let (machine, child, mut qmp, watch) = launch(machine, engine, qemu)?;
        // Dropping the child ends it.
        template::resume(&mut qmp, &of.devices())?;
        let pid = child.detach();
        Self::new(machine, pid, qmp, watch)
    }

    /// Whether it was resumed from a moment, in which case its logs do not contain its boot.
    pub fn is_resumed(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == RESUMED.as_bytes())
    }

    /// Saves the machine at this moment, and lets it continue.
    pub fn freeze<'a>(&mut self, freezing: &'a Freezing<'a>, qemu: &Qemu) -> Result<Frozen<'a>, Error> {
        freezing.run(&mut self.qmp, &mut self.seen, self.pid, qemu)
    }

    /// Attaches to a machine that is already running; `None` if it is not running. The machine gets the ports that were
    /// assigned to it.
    pub fn attach(mut machine: Machine) -> Result<Option<Self>, Error> {
        let Some(pid) = find(&machine.files.qmp_socket) else { return Ok(None) };
        if let Some(record) = InstanceRecord::running(&machine.files.run_dir) {
            machine.forwards = record.forwards;
        }
        let mut qmp = Client::connect(&machine.files.qmp_socket, PATIENT)?;
        // A process that paused the machine for a moment was killed.
        let status = qmp.execute("query-status", Value::Null, PATIENT)?["status"].take();
        if status == "paused" || status == "io-error" {
            qmp.execute("cont", Value::Null, PATIENT)?;
        }
        let watch = Watch::of_start(&machine.files);
        Self::new(machine, pid, qmp, watch).map(Some)
    }

    fn new(machine: Machine, pid: u32, mut qmp: Client, watch: Watch) -> Result<Self, Error> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = raw.ok_or(rustix::io::Errno::SRCH).and_then(|raw| pidfd_open(raw, PidfdFlags::empty()));
        let process = process
            .map_err(|error| Error::io("watch the process of", &machine.files.run_dir, error.into()))?;
        // A guest can make QEMU print, too.
        let own = qemu_log(&machine.files.run_dir);
        let logs = vec![machine.files.serial_log.clone(), machine.files.ready_log.clone(), own];
        let mut seen = Seen { shut_down: false, resumes: 0, was_reset: false, space: Space::of(&machine) };
        seen.take(&mut qmp);
        // The event of a clone that resumed from its template must not count as the end of a stop.
        seen.resumes = 0;
        let log_limit = LogLimit::start(logs);
        Ok(Self { machine, pid, process, qmp, watch, seen, _log_limit: log_limit })
    }

    /// The machine, with its assigned ports.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Reads the guest's new output.
    pub fn poll(&mut self) -> Result<Progress, Error> {
        let firmware = ring::firmware(&mut self.qmp);
        self.watch.poll(&firmware)?;
        // After the files: their last lines may be those of the boot before a reset.
        self.seen.take(&mut self.qmp);
        if std::mem::take(&mut self.seen.was_reset) {
            self.watch.detector.forget_boot();
        }
        let detector = &self.watch.detector;
        let failure = match detector.dead_end() {
            Some(DeadEnd::Panic(why) | DeadEnd::GaveUp(why)) => Some(why.clone()),
            None => detector.failed(GuestStage::Ready).map(describe),
        };
        let sshd = detector.event_of(GuestStage::Sshd);
        Ok(Progress {
            stage: detector.stage(),
            is_ready: detector.reached(GuestStage::Ready).is_some(),
            failure,
            host_keys: sshd.map(|event| event.host_keys.clone()).unwrap_or_default(),
            services: detector.services(),
            boot_id: detector.boot_id().map(str::to_owned),
        })
    }

    /// Waits until QEMU has ended, at most for `limit`; returns whether it has.
    pub fn has_ended(&self, limit: Duration) -> bool {
        has_ended(&self.process, limit)
    }

    /// Once it has ended: whether the guest or RAVE requested that.
    pub fn was_shut_down(&mut self) -> bool {
        self.seen.take(&mut self.qmp);
        self.seen.shut_down
    }

    /// How often the machine was resumed after it had been stopped (QMP `stop`, `cont`), as of the last [`Self::poll`].
    pub fn resumes(&self) -> u64 {
        self.seen.resumes
    }

    /// Whether the machine is paused because it could not write to the host's disk, which is full (QEMU's
    /// `werror=enospc`), as of the last [`Self::poll`].
    pub fn lacks_space(&self) -> bool {
        self.seen.space.is_lacking()
    }

    /// Resumes such a machine once 64 MiB are free; it retries the failed writes.
    pub fn resume_with_space(&mut self) {
        self.seen.space.resume(&mut self.qmp);
    }

    /// The way to its guest.
    pub fn channel(&self) -> Channel {
        Channel { socket: self.machine.files.channel_socket.clone() }
    }

    /// Talks to the guest in another thread, and handles a full disk meanwhile: the machine is resumed once there is
    /// space again, or ended if there was none for 15 s, because the guest does not answer while it is paused.
    pub fn talk<T: Send>(
        &mut self,
        limit: Duration,
        talk: impl FnOnce(&Channel) -> T + Send,
    ) -> Result<T, Error> {
        let channel = self.channel();
        thread::scope(|scope| {
            let (done, wait) = mpsc::channel::<()>();
            let talking = scope.spawn(move || {
                // Dropped at the end, even by a panic.
                let _done = done;
                talk(&channel)
            });
            while wait.recv_timeout(TALK_CHECK) == Err(RecvTimeoutError::Timeout) {
                self.seen.take(&mut self.qmp);
                if let Err(full) = self.seen.space.check(&mut self.qmp) {
                    self.end(limit);
                    return Err(full);
                }
            }
            talking.join().map_err(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Presses the power button (ACPI).
    pub fn press_power_button(&mut self) {
        // A QEMU that is just ending refuses the command or closes the socket; waiting shows whether it ended.
        let _ = self.qmp.execute("system_powerdown", Value::Null, QMP_DEADLINE);
    }

    /// Asks QEMU to quit, then kills it, without asking the guest.
    pub fn end(&mut self, limit: Duration) {
        let _ = self.qmp.execute("quit", Value::Null, QMP_DEADLINE);
        if !self.has_ended(limit) {
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
            self.has_ended(limit);
        }
    }

    /// The last lines that QEMU printed.
    pub fn last_output(&self) -> Vec<String> {
        let text = tail(&qemu_log(&self.machine.files.run_dir), MAX_OUTPUT).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].iter().map(ToString::to_string).collect()
    }

    /// Whether QEMU's emulation lost a race or a timer before the guest's userspace, so that a restart loses nothing.
    pub fn may_restart(&self) -> bool {
        self.has_lost_timer()
            || self.watch.detector.stage().is_before_userspace()
                && self.last_output().iter().any(|line| line.contains(LOST_RACE))
    }

    /// Whether a timer of the guest was lost before its userspace, so that the guest would wait forever.
    pub fn has_lost_timer(&self) -> bool {
        self.watch.detector.lost_timer().is_some()
    }
}

/// Kills the QEMU with this control socket, and waits at most `limit` until it has ended.
pub fn kill(qmp_socket: &Utf8Path, limit: Duration) {
    let Some(pid) = find(qmp_socket) else { return };
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    // The process id may have been reused before it was opened.
    if find(qmp_socket) == Some(pid) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
        has_ended(&process, limit);
    }
}

fn has_ended(process: &OwnedFd, limit: Duration) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

fn describe(event: &GuestEvent) -> String {
    format!("{}: {}", event.stage, event.detail)
}

fn qemu_log(run_dir: &Utf8Path) -> Utf8PathBuf {
    run_dir.join("qemu.log")
}

/// The process of the QEMU with this control socket. It is found by its command line, since a process id in a file may
/// have been reused.
pub fn find(qmp_socket: &Utf8Path) -> Option<u32> {
    let wanted = format!("socket,id=qmp,server=on,wait=off,path={}", qmp_socket.as_str().replace(',', ",,"));
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        // The command line of a zombie is empty (proc_pid_cmdline(5)).
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qmp::tests::{ok, peer};
    use rave_guest::protocol::StageState;
    use serde_json::Value;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_machine_is_resumed_while_its_guest_is_talked_to() {
        let (to, commands) = mpsc::channel();
        let (folder, socket) = peer(move |line| {
            let command: Value = serde_json::from_str(line).unwrap();
            let command = command["execute"].as_str().unwrap();
            let event: &[u8] = match command {
                "qmp_capabilities" => b"{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"action\": \"stop\"}}\n",
                "cont" => b"{\"event\": \"RESUME\"}\n",
                _ => b"",
            };
            let _ = to.send(command.to_owned());
            vec![[event.to_vec(), ok(line)].concat()]
        });
        let qmp = Client::connect(&socket, LIMIT).unwrap();
        assert_eq!(commands.recv().unwrap(), "qmp_capabilities");
        let machine = Machine::new("test", Utf8Path::from_path(folder.path()).unwrap());
        let watch = Watch::of_start(&machine.files);
        // Nothing signals this process: the machine is not ended.
        let mut machine = Standalone::new(machine, std::process::id(), qmp, watch).unwrap();
        assert!(machine.lacks_space());
        // The guest answers once it runs again.
        let answer = machine.talk(LIMIT, move |_| commands.recv_timeout(LIMIT)).unwrap();
        assert_eq!(answer.as_deref(), Ok("cont"));
        machine.poll().unwrap();
        assert!(!machine.lacks_space());
    }

    #[test]
    fn a_guest_is_not_ready_after_a_reset() {
        let mut polls = 0;
        let (folder, socket) = peer(move |line| {
            polls += usize::from(line.contains("ringbuf-read"));
            let event: &[u8] = if polls == 2 { b"{\"event\": \"RESET\"}\n" } else { b"" };
            vec![[event.to_vec(), ok(line)].concat()]
        });
        let qmp = Client::connect(&socket, LIMIT).unwrap();
        let machine = Machine::new("test", Utf8Path::from_path(folder.path()).unwrap());
        let ready = GuestEvent {
            stage: GuestStage::Ready,
            state: StageState::Ok,
            detail: String::new(),
            uptime_ms: 1,
            boot_id: "one".into(),
            host_keys: Vec::new(),
        };
        fs::create_dir_all(&machine.files.run_dir).unwrap();
        fs::write(&machine.files.ready_log, ready.to_line()).unwrap();
        let watch = Watch::of_start(&machine.files);
        let mut machine = Standalone::new(machine, std::process::id(), qmp, watch).unwrap();
        assert!(machine.poll().unwrap().is_ready);
        assert!(!machine.poll().unwrap().is_ready);
    }
}
