//! A running machine.

use std::fs;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_guest::protocol::{GuestEvent, GuestStage};
use rave_net::{Log, Network, Outbound};
use rave_process::{Child, Status, interrupt};

use crate::Error;
use crate::accel::{Accelerator, Engine};
use crate::argv::qemu_argv;
use crate::boot::stage_detector::DeadEnd;
use crate::boot::watch::{POLL, Watch};
use crate::boot::{BootFailure, BootStage, Cause, Timeline};
use crate::fence;
use crate::log_limit::LogLimit;
use crate::machine::Machine;
use crate::network;
use crate::prepare::{prepare, remove};
use crate::qemu::Qemu;
use crate::qmp::{Client, QMP_DEADLINE};
use crate::ring;
use crate::run_dir::{InstanceRecord, RunDir};
use crate::space::Space;
use crate::ssh::Ssh;

/// How long QEMU may take to open its control socket, which it does before it runs the guest.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long QEMU may take to answer in operations whose failure would lose a machine's memory: on a busy host QEMU may
/// not be scheduled for a while.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// How often QEMU is restarted after it lost one of its own races.
pub const RESTARTS: u32 = 2;

/// signal(7).
const SIGABRT: i32 = 6;

/// Part of the assertion in system/physmem.c that fails if a table entry of another thread is used after it was freed;
/// seen with 10.0.2.
pub(crate) const LOST_RACE: &str = "iotlb_to_section: Assertion";

/// How long the guest may take to accept the reboot command.
const REBOOT_COMMAND: Duration = Duration::from_secs(60);

/// A running machine. Dropping it kills its QEMU and leaves its run folder behind, just as if this process had been
/// killed.
#[derive(Debug)]
pub struct Instance {
    pub(crate) machine: Machine,
    pub(crate) child: Child,
    pub(crate) qmp: Client,
    watch: Watch,
    /// Declared before the run folder, like the next field: its thread writes there.
    pub(crate) network: Option<Network>,
    log_limit: LogLimit,
    run_dir: RunDir,
    engine: Engine,
    qemu: Qemu,
    space: Space,
    /// How often QEMU was restarted.
    restarts: u32,
    /// The guest has not been rebooted, so a restart loses nothing in it.
    is_first_boot: bool,
}

/// A guest that has reached the stage that was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where the time went.
    pub timeline: Timeline,
    /// The SSH server's public keys, if the guest has reported them.
    pub host_keys: Vec<String>,
    /// The id of this boot of the guest's kernel.
    pub boot_id: String,
}

/// What happened while waiting for a guest.
#[derive(Debug, Clone, Copy)]
pub enum BootEvent<'a> {
    /// The boot reached this stage, `at` after its beginning.
    Reached {
        /// The stage.
        stage: BootStage,
        /// Time since QEMU's start, or since the reboot was requested.
        at: Duration,
    },
    /// The guest reported an event.
    Guest(&'a GuestEvent),
    /// QEMU's emulation failed before the guest's userspace, and QEMU is restarted.
    Restarted {
        /// How it failed: [`Cause::QemuDied`] or [`Cause::LostTimer`].
        cause: &'a Cause,
        /// The number of this start; the first is 1.
        attempt: u32,
    },
}

/// A machine that continues to run without this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// QEMU's process id.
    pub pid: u32,
    /// The machine, with its assigned ports.
    pub machine: Machine,
}

impl Instance {
    /// Starts the machine. When this returns, QEMU runs the guest and its forwarded ports are open, which says nothing
    /// about the guest itself: see [`Instance::wait_ready`].
    pub fn boot(machine: Machine, engine: Engine, qemu: &Qemu) -> Result<Self, Error> {
        Self::boot_reaching(machine, engine, qemu, Outbound::of_this_process())
    }

    /// Like [`Instance::boot`], with another way to make outgoing connections.
    pub fn boot_reaching(
        mut machine: Machine,
        engine: Engine,
        qemu: &Qemu,
        outbound: Outbound,
    ) -> Result<Self, Error> {
        let run_dir = RunDir::take(&machine)?;
        let network = network::connect(&mut machine, outbound);
        match network.and_then(|network| Ok((network, launch(machine, engine, qemu)?))) {
            Ok((network, (machine, child, qmp, watch))) => {
                let qemu = qemu.clone();
                let files = &machine.files;
                let logs = [&files.serial_log, &files.ready_log].map(Clone::clone);
                let log_limit = LogLimit::start(logs.to_vec());
                let space = Space::of(&machine);
                Ok(Self {
                    machine,
                    child,
                    qmp,
                    watch,
                    network,
                    log_limit,
                    run_dir,
                    engine,
                    qemu,
                    space,
                    restarts: 0,
                    is_first_boot: true,
                })
            }
            Err(error) => {
                // Report the first error; the next sweep tries to remove the folder again.
                let _ = run_dir.remove();
                Err(error)
            }
        }
    }

    /// The machine, with its assigned ports.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// QEMU's command line.
    pub fn command(&self) -> String {
        self.child.command()
    }

    /// What the guest has been denied so far.
    pub fn network_log(&self) -> Log {
        self.network.as_ref().map(Network::log).unwrap_or_default()
    }

    /// Waits until the guest reports that it is fully ready, at most until `deadline` after the boot's beginning.
    pub fn wait_ready(
        &mut self,
        deadline: Duration,
        on_event: &mut dyn FnMut(BootEvent<'_>),
    ) -> Result<Ready, Error> {
        self.wait_for(GuestStage::Ready, deadline, on_event)
    }

    /// Waits until `is_done`, which is polled, returns true. Ends early like [`Instance::wait_for`].
    pub(crate) fn wait_until(
        &mut self,
        deadline: Duration,
        on_event: &mut dyn FnMut(BootEvent<'_>),
        is_done: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let done = |instance: &Self| is_done().then(|| instance.watch.elapsed());
        self.wait_reached(GuestStage::Ready, deadline, on_event, done).map(drop)
    }

    /// Waits until the guest reports that `stage` is reached, at most until `deadline` after the boot's beginning.
    /// Fails early, with the stage and the cause, if QEMU ends, the kernel panics, something waits for a person, or the
    /// guest reports that this or an earlier stage failed.
    pub fn wait_for(
        &mut self,
        stage: GuestStage,
        deadline: Duration,
        on_event: &mut dyn FnMut(BootEvent<'_>),
    ) -> Result<Ready, Error> {
        self.wait_reached(stage, deadline, on_event, |instance| instance.watch.detector.reached(stage))
    }

    fn wait_reached(
        &mut self,
        stage: GuestStage,
        deadline: Duration,
        on_event: &mut dyn FnMut(BootEvent<'_>),
        mut reached: impl FnMut(&Self) -> Option<Duration>,
    ) -> Result<Ready, Error> {
        let mut reported = None;
        loop {
            // Before the logs are read, so that they include the last output of a QEMU that has ended.
            let ended = self.ended()?;
            self.check_space()?;
            let events = self.poll()?;
            self.report(&events, &mut reported, on_event);
            if let Some(at) = reached(self) {
                return Ok(self.ready(at));
            }
            let detector = &self.watch.detector;
            if let Some(cause) = self.cause(stage, deadline, ended) {
                if self.may_restart(&cause) {
                    on_event(BootEvent::Restarted { cause: &cause, attempt: self.restarts + 2 });
                    self.restart()?;
                    reported = None;
                    continue;
                }
                return Err(Box::new(BootFailure {
                    stage: detector.stage(),
                    evidence: detector.reason(),
                    serial_tail: detector.last_lines(),
                    cause,
                })
                .into());
            }
            interrupt::pause(POLL)?;
        }
    }

    /// Resumes the machine if it was paused because the host's disk was full and there is space again; fails if there
    /// was none for 15 s.
    pub(crate) fn check_space(&mut self) -> Result<(), Error> {
        self.see_events();
        self.space.check(&mut self.qmp)
    }

    /// The same without a failure; returns whether the machine is paused because the host's disk is full.
    pub fn resume_with_space(&mut self) -> bool {
        self.see_events();
        self.space.resume(&mut self.qmp);
        self.space.is_lacking()
    }

    fn see_events(&mut self) {
        for event in self.qmp.events() {
            self.space.see(&event);
        }
    }

    /// Reads the guest's new output; returns the events in it.
    fn poll(&mut self) -> Result<Vec<GuestEvent>, Error> {
        self.watch.poll(&ring::firmware(&mut self.qmp))
    }

    /// QEMU's multi-threaded emulation can lose a race while a guest maps its devices, and then aborts; rarely it loses
    /// a timer. Before the guest's userspace nothing has been written.
    fn may_restart(&self, cause: &Cause) -> bool {
        let is_race = match cause {
            Cause::QemuDied { status: Status::Signal(SIGABRT), tail } => {
                tail.iter().any(|line| line.contains(LOST_RACE))
            }
            Cause::LostTimer { .. } => true,
            _ => false,
        };
        let is_early = self.watch.detector.stage().is_before_userspace();
        is_race && is_early && self.is_first_boot && self.restarts < RESTARTS
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.restarts += 1;
        // A QEMU that lost a timer is still running.
        self.child.kill().map_err(Error::process("ending QEMU"))?;
        let started = launch(self.machine.clone(), self.engine, &self.qemu)?;
        (self.machine, self.child, self.qmp, self.watch) = started;
        self.space = Space::of(&self.machine);
        Ok(())
    }

    fn report(
        &self,
        events: &[GuestEvent],
        reported: &mut Option<BootStage>,
        on_event: &mut dyn FnMut(BootEvent<'_>),
    ) {
        for event in events {
            on_event(BootEvent::Guest(event));
        }
        let stage = self.watch.detector.stage();
        if *reported != Some(stage) {
            *reported = Some(stage);
            on_event(BootEvent::Reached { stage, at: self.watch.elapsed() });
        }
    }

    /// Why there is no point in waiting longer.
    fn cause(&self, until: GuestStage, deadline: Duration, ended: Option<Status>) -> Option<Cause> {
        let detector = &self.watch.detector;
        // If the kernel panicked, that is why the machine rebooted or ended.
        match detector.dead_end() {
            Some(DeadEnd::Panic(message)) => return Some(Cause::Panicked { message: message.clone() }),
            Some(DeadEnd::GaveUp(message)) => return Some(Cause::GaveUp { message: message.clone() }),
            None => {}
        }
        if let Some(status) = ended {
            return Some(Cause::QemuDied { status, tail: self.child.tail() });
        }
        if let Some(event) = detector.failed(until) {
            return Some(Cause::GuestReported { detail: format!("{}: {}", event.stage, event.detail) });
        }
        if self.engine.accelerator() == Accelerator::Tcg
            && let Some(message) = detector.lost_timer()
        {
            return Some(Cause::LostTimer { message: message.to_owned() });
        }
        (self.watch.elapsed() >= deadline).then_some(Cause::Timeout { after: deadline })
    }

    fn ready(&self, at: Duration) -> Ready {
        let detector = &self.watch.detector;
        let sshd = detector.event_of(GuestStage::Sshd);
        Ready {
            timeline: detector.timeline(at),
            host_keys: sshd.map(|event| event.host_keys.clone()).unwrap_or_default(),
            boot_id: detector.boot_id().unwrap_or_default().to_owned(),
        }
    }

    /// Reboots the guest over SSH and waits until it is ready again; `deadline` counts from now.
    pub fn reboot(
        &mut self,
        ssh: &Ssh,
        deadline: Duration,
        on_event: &mut dyn FnMut(BootEvent<'_>),
    ) -> Result<Ready, Error> {
        self.is_first_boot = false;
        self.poll()?;
        let boot_id = self.watch.detector.boot_id().map(str::to_owned);
        self.watch.restart(boot_id)?;
        match ssh.exec("sudo -n systemctl reboot", REBOOT_COMMAND) {
            // The server may exit before it has reported that the command ended.
            Ok(_) | Err(Error::Ssh { .. }) => {}
            Err(other) => return Err(other),
        }
        self.wait_ready(deadline, on_event)
    }

    /// QEMU's exit status, if it has ended: code 0 if the guest powered itself off.
    pub fn ended(&mut self) -> Result<Option<Status>, Error> {
        self.child.try_wait().map_err(Error::process("waiting for QEMU"))
    }

    /// The error for a QEMU that ended with this status, with its last lines.
    pub fn died(&self, status: Status) -> Error {
        Error::QemuDied { command: self.child.command(), status, tail: self.child.tail() }
    }

    /// Detaches the machine, which continues to run after this process has ended. Its run folder stays until
    /// [`crate::run_dir::sweep`] finds that the machine has ended. Nothing truncates its log files any more, so the
    /// logs continue in QEMU's memory ([`crate::ring`]).
    pub fn detach(self) -> Result<Detached, Error> {
        let Self { machine, child, mut qmp, .. } = self;
        ring::keep_logs(&mut qmp, QMP_DEADLINE)?;
        Ok(Detached { pid: child.detach(), machine })
    }

    /// Removes what only a running machine needs.
    pub(crate) fn clean_up(self) -> Result<(), Error> {
        // Their threads write to the run folder.
        let Self { network, log_limit, run_dir, .. } = self;
        drop((network, log_limit));
        run_dir.remove()
    }

    /// Copies the serial log, for reports that outlive the run folder.
    pub fn save_serial_log(&self, to: &Utf8Path) -> Result<(), Error> {
        fs::copy(&self.machine.files.serial_log, to).map(drop).map_err(|e| Error::io("write", to, e))
    }
}

/// Creates the machine's files and starts QEMU, which is killed with this process unless it is detached.
pub(crate) fn launch(
    machine: Machine,
    engine: Engine,
    qemu: &Qemu,
) -> Result<(Machine, Child, Client, Watch), Error> {
    prepare(&machine)?;
    let (child, qmp, watch) = start(&machine, engine, qemu)?;
    InstanceRecord::save(&machine, child.pid())?;
    Ok((machine, child, qmp, watch))
}

/// Starts QEMU and waits until its control socket answers.
fn start(machine: &Machine, engine: Engine, qemu: &Qemu) -> Result<(Child, Client, Watch), Error> {
    let socket = &machine.files.qmp_socket;
    remove(socket)?;
    let watch = Watch::of_start(&machine.files);
    let command = fence::command(machine, &qemu.program, qemu.fencer.as_ref())?
        .args(qemu_argv(machine, engine))
        .log_file(machine.files.run_dir.join("qemu.log").as_std_path())
        // Ctrl-C reaches the caller, which shuts the guest down cleanly.
        .survives_interrupt();
    let mut child = command.spawn().map_err(Error::process("starting QEMU"))?;
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        if let Some(status) = child.try_wait().map_err(Error::process("waiting for QEMU"))? {
            return Err(Error::QemuDied { command: child.command(), status, tail: child.tail() });
        }
        if socket.exists()
            && let Ok(client) = Client::connect(socket, QMP_DEADLINE)
        {
            return Ok((child, client, watch));
        }
        if Instant::now() >= deadline {
            let (doing, command) = ("QEMU's start".to_owned(), child.command());
            return Err(Error::TooSlow { doing, after: START_DEADLINE, command });
        }
        interrupt::pause(POLL / 2)?;
    }
}
