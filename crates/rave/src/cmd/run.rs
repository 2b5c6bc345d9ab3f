//! `cargo xtask run`: builds what is missing or stale, and boots the artifact that the manifest names.

pub(crate) mod background;
mod kept;
mod reach;
mod screen;
pub(crate) mod services;

use std::time::Duration;

use camino::Utf8PathBuf;
use rave_guest::processor::lacks_avx;
use rave_host::Needs;
use rave_image::Manifest;
use rave_process::progress::{Event, Sink, StageOutcome};
use rave_process::{Status, interrupt};
use rave_spec::Format;
use rave_vm::accel::{self, Accelerator, ProbeRequest, ProbeResult};
use rave_vm::boot::Cause;
use rave_vm::machine::{Arch, Firmware, Overlay};
use rave_vm::ports::PortPolicy;
use rave_vm::qemu::Qemu;
use rave_vm::sandbox::{LaunchConfig, Sandbox};
use rave_vm::ssh::Ssh;
use rave_vm::{BootEvent, Error, Instance, Ready, Shutdown, boot, firmware, run_dir};

use crate::build;
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::host;
use crate::request::{self, Found};
use crate::settings::Settings;
use crate::ui::Ui;
use screen::Screen;

/// How long a guest may take to be ready: about ten times the boot time on an idle machine.
const HARDWARE_DEADLINE: Duration = Duration::from_secs(180);
const EMULATION_DEADLINE: Duration = Duration::from_secs(600);

/// How long a running guest may take to power off. systemd gives each unit 90 s.
const POWER_OFF: Duration = Duration::from_secs(100);

/// The same for a guest that is not up: it may react to the power button, or no longer react at all.
const POWER_OFF_EARLY: Duration = Duration::from_secs(10);

/// How often a running machine is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The exit code of ssh(1) if ssh itself failed.
const SSH_FAILED: i32 = 255;

/// Runs the command.
pub fn run(args: &cli::Run, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let policies = services::policies(&args.ports)?;
    reach::check(&args.reach)?;
    build::report_base(settings, ui);
    host::ensure(settings, ui, Needs::Run)?;
    let qemu = Qemu::find(Arch::X86_64)?;
    // Checked before a build that may take minutes.
    let screen = Screen::choose(args, settings, &qemu, ui)?;
    let format = args.format.unwrap_or(settings.spec.spec.defaults.formats[0]);
    if args.keep && format == Format::Iso {
        return Err(CommandError::usage("--keep: a live session keeps nothing")
            .remedy("leave it out, or install")
            .into());
    }
    if args.keep {
        kept::adopt(format, args.keep_base, settings, ui)?;
    }
    let (manifest, artifact) = artifact(args, format, settings, ui)?;
    let probe = accelerator(settings, &qemu, ui)?;
    warn_without_avx(probe.accelerator(), ui);
    let run_root = run_root(settings);
    run_dir::sweep(&run_root)?;
    let vm = settings.spec.spec.vm;
    let (manifest, artifact, overlay) = if args.keep {
        let built = kept::Built { manifest, artifact: &artifact, format };
        let kept = kept::open(built, args.keep_base, settings, ui)?;
        (kept.manifest, kept.base, Overlay::Keep(kept.overlay))
    } else {
        (manifest, artifact, Overlay::Throwaway)
    };
    let found = Found { manifest: &manifest, path: &artifact, format };
    let policy = |name, port| policies.get(&name).copied().unwrap_or(PortPolicy::Fixed(port));
    let services = request::services(settings, &manifest, policy);
    let launch = LaunchConfig {
        overlay,
        memory_mib: args.size.memory.map_or(vm.memory.get(), u64::from),
        cpus: args.size.cpus.unwrap_or(vm.cpus),
        firmware: chosen_firmware(args.firmware)?,
        display: screen.display()?,
        ..request::machine(settings, &run_root, found, &services)?
    };
    let launch = LaunchConfig { policy: reach::policy(&args.reach, launch.policy.clone()), ..launch };
    ui.note(&reach::line(&launch.policy));
    let mut sandbox = launch.prepare()?;
    sandbox.machine.clipboard = screen.clipboard;
    let instance = Instance::boot(sandbox.machine.clone(), probe.engine, &qemu)?;
    let session = Session { args, settings, ui, sandbox, keep: args.keep };
    session.start(instance, probe.accelerator())
}

/// The artifact to boot, as described by its manifest; built first if it is missing or older than the settings.
pub(crate) fn artifact(
    args: &cli::Run,
    format: Format,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<(Manifest, Utf8PathBuf)> {
    let formats = [format];
    let wanted = build::to_boot(&formats, &args.building);
    // The requirements of a build are needed only if something is built.
    if !args.no_build && !build::is_current(settings, &wanted, ui)? {
        host::ensure(settings, ui, Needs::Image)?;
        build::ensure_formats(settings, ui, &formats)?;
        build::build(settings, &wanted, ui)?;
    }
    let find = || -> Result<_, rave_image::Error> {
        let manifest = Manifest::read(&settings.out_dir)?;
        let (_, path) = request::artifact(&settings.out_dir, &manifest, format)?;
        Ok((manifest, path))
    };
    find().map_err(Into::into)
}

/// Where the folders of running machines are.
pub fn run_root(settings: &Settings) -> Utf8PathBuf {
    settings.state_dir.join("run")
}

/// Tests the accelerator, and reports once why a machine will be slow.
pub fn accelerator(settings: &Settings, qemu: &Qemu, ui: &Ui) -> anyhow::Result<ProbeResult> {
    let force = settings.accel.map(Accelerator::from);
    let request = ProbeRequest { qemu, cache_dir: &settings.state_dir, force, refresh: false };
    let probe = accel::probe(&request)?;
    if probe.accelerator() == Accelerator::Tcg && force.is_none() {
        ui.note(&format!("booting under software emulation, which is slow: {}", probe.kvm));
    }
    Ok(probe)
}

/// Under KVM the guest has the host's processor features.
fn warn_without_avx(accelerator: Accelerator, ui: &Ui) {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if let Some(warning) = without_avx(accelerator, &cpuinfo) {
        ui.warn(warning);
    }
}

fn without_avx(accelerator: Accelerator, cpuinfo: &str) -> Option<&'static str> {
    let is_missing = accelerator == Accelerator::Kvm && lacks_avx(cpuinfo);
    is_missing.then_some("this host's processor has no AVX: claude will not run in the guest; --accel tcg emulates one with AVX, slowly")
}

/// How long a guest may take to be ready.
pub fn deadline(accelerator: Accelerator) -> Duration {
    match accelerator {
        Accelerator::Kvm => HARDWARE_DEADLINE,
        Accelerator::Tcg => EMULATION_DEADLINE,
    }
}

fn chosen_firmware(asked: Option<cli::Firmware>) -> anyhow::Result<Firmware> {
    match asked {
        None | Some(cli::Firmware::Bios) => Ok(Firmware::Bios),
        Some(cli::Firmware::Uefi) => Ok(firmware::find_uefi(Arch::X86_64)?),
    }
}

/// A started machine, and the user's flags.
struct Session<'a> {
    args: &'a cli::Run,
    settings: &'a Settings,
    ui: &'a Ui,
    sandbox: Sandbox,
    /// What the guest writes outlives this run.
    keep: bool,
}

impl Session<'_> {
    fn start(&self, mut instance: Instance, accelerator: Accelerator) -> anyhow::Result<Code> {
        self.ui.note(&format!("serial console: {}", instance.machine().files.serial_log));
        for line in screen::how_to_connect(&instance.machine().display) {
            self.ui.note(&line);
        }
        let sink = self.ui.sink();
        let mut stages = Stages::new(&sink);
        let ready = instance.wait_ready(deadline(accelerator), &mut |event| stages.take(event));
        stages.finish(ready.is_ok());
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => return Err(self.never_ready(instance, &error).into()),
        };
        let ssh = match self.sandbox.ssh(&instance, &ready) {
            Ok(ssh) => ssh,
            Err(error) => {
                self.end(instance);
                return Err(error.into());
            }
        };
        self.ready(instance, &ready, &ssh)
    }

    fn ready(&self, instance: Instance, ready: &Ready, ssh: &Ssh) -> anyhow::Result<Code> {
        let seconds = ready.timeline.ready.as_secs_f64();
        self.ui.note(&format!("ready {seconds:.1} s after its start"));
        if let Some(command) = &self.args.exec {
            let result = attached(&ssh.attached(command));
            self.end(instance);
            return Ok(Code::Guest(result?));
        }
        services::show(instance.machine(), ssh, self.ui);
        if self.args.ssh {
            let result = attached(&ssh.shell());
            self.end(instance);
            // A shell exits with its last command's code, which says nothing about the session.
            return result.map(|_| Code::Ok);
        }
        if self.args.detach {
            return self.detach(instance, ssh);
        }
        self.ui.note("Ctrl-C powers it off");
        self.watch(instance)
    }

    /// Leaves QEMU and the guest's network running in the background.
    fn detach(&self, mut instance: Instance, ssh: &Ssh) -> anyhow::Result<Code> {
        let network = match background::hand_over(&mut instance) {
            Ok(network) => network,
            Err(error) => {
                self.end(instance);
                return Err(error);
            }
        };
        let detached = instance.detach()?;
        let (pid, login) = (detached.pid, services::ssh_line(ssh));
        self.ui.note(&format!("it keeps running as process {pid}; power it off with: {login} sudo poweroff"));
        let restore = background::restore_command(&detached.machine.files.run_dir);
        self.ui.note(&format!(
            "its network is process {network} and ends with it; if that is killed, the guest reaches nothing and its ports are \
             closed until: {restore}"
        ));
        Ok(Code::Ok)
    }

    /// Waits until the guest powers off or the user interrupts.
    fn watch(&self, mut instance: Instance) -> anyhow::Result<Code> {
        let mut denials = reach::Denials::default();
        let mut was_paused = false;
        loop {
            denials.report(&instance.network_log(), self.ui);
            let is_paused = instance.resume_with_space();
            if is_paused && !was_paused {
                self.ui.warn(
                    "the host's disk is full: the machine is paused, and continues once 64 MiB are free",
                );
            }
            was_paused = is_paused;
            match instance.ended()? {
                Some(Status::Code(0)) => {
                    self.ui.note("the guest powered itself off");
                    self.end(instance);
                    return Ok(Code::Ok);
                }
                Some(status) => {
                    let error = instance.died(status);
                    self.end(instance);
                    return Err(error.into());
                }
                None => {}
            }
            if interrupt::pause(POLL_INTERVAL).is_err() {
                self.ui.note("powering the guest off");
                self.end(instance);
                return Ok(Code::Interrupted);
            }
        }
    }

    /// Stops the machine and reports if it had to be killed. The result of the run is known by then: a failure here is
    /// only a warning.
    fn end(&self, instance: Instance) {
        self.end_within(instance, POWER_OFF);
    }

    fn end_within(&self, instance: Instance, grace: Duration) {
        match instance.shutdown(grace) {
            Ok(Shutdown::Before(_) | Shutdown::PoweredOff { .. }) => {}
            Ok(Shutdown::Quit | Shutdown::Killed) => {
                let seconds = grace.as_secs();
                self.ui.warn(&format!("the guest did not power off within {seconds} s and was killed"));
            }
            Err(error) => self.ui.warn(&error.to_string()),
        }
    }

    /// The failure of a guest that did not come up; its serial log is kept.
    fn never_ready(&self, instance: Instance, error: &Error) -> CommandError {
        let mut failure = CommandError::from(error);
        if let Error::Boot(_) = error {
            let log =
                self.settings.state_dir.join("logs").join(format!("serial-{}.log", self.settings.profile));
            let made = log.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok());
            if made && instance.save_serial_log(&log).is_ok() {
                failure = failure.detail(format!("the whole serial log: {log}"));
            }
        }
        if self.keep {
            self.end_within(instance, POWER_OFF_EARLY);
        } else if let Err(error) = instance.kill() {
            self.ui.warn(&error.to_string());
        }
        failure
    }
}

/// Runs ssh on this terminal; returns the exit code of the remote command.
pub(crate) fn attached(command: &rave_process::Cmd) -> anyhow::Result<u8> {
    let status = match command.run(&mut |_| {}) {
        Ok(output) => output.status,
        Err(rave_process::Error::Failed { status, .. }) => status,
        Err(rave_process::Error::Interrupted { signal, .. }) => {
            return Err(CommandError::new(Code::Interrupted, format!("interrupted by {signal}")).into());
        }
        Err(error) => return Err(CommandError::host_not_ready(error.to_string()).into()),
    };
    match status.shell_code() {
        SSH_FAILED => Err(CommandError::new(
            Code::CheckFailed,
            "ssh ended with code 255: the connection was lost, or the command exited with it",
        )
        .detail(command.to_string())
        .into()),
        code => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
    }
}

/// The stages of a boot as stages of the progress display.
pub struct Stages<'a> {
    sink: Sink<'a>,
    /// The guest's current stage, by name, and when it was reached.
    current: Option<(String, Duration)>,
    started: std::time::Instant,
}

impl<'a> Stages<'a> {
    /// No stage has been reached yet.
    pub fn new(sink: Sink<'a>) -> Self {
        Self { sink, current: None, started: std::time::Instant::now() }
    }

    /// Shows the progress of the boot.
    pub fn take(&mut self, event: BootEvent<'_>) {
        match event {
            BootEvent::Reached { stage, at } => {
                self.close(at);
                let name = label(stage);
                (self.sink)(Event::StageStarted { stage: &name });
                self.current = Some((name, at));
            }
            BootEvent::Restarted { cause, attempt } => {
                let what = match cause {
                    Cause::LostTimer { .. } => "lost a timer of the guest",
                    _ => "crashed",
                };
                let text = format!(
                    "QEMU's emulation {what} early in the boot, a fault of QEMU itself; start {attempt}"
                );
                (self.sink)(Event::Note { text: &text });
                self.current = None;
            }
            BootEvent::Guest(event) => {
                if let Some((stage, _)) = &self.current {
                    let line = format!("{} {:?}: {}", event.stage, event.state, event.detail);
                    (self.sink)(Event::StageOutput { stage, line: &line });
                }
            }
        }
    }

    /// Ends the display; the last stage counts as done only if the guest is `ready`.
    pub fn finish(mut self, ready: bool) {
        if ready {
            self.close(self.started.elapsed());
        }
    }

    fn close(&mut self, at: Duration) {
        if let Some((stage, since)) = self.current.take() {
            let elapsed = at.saturating_sub(since);
            (self.sink)(Event::StageFinished { stage: &stage, elapsed, outcome: StageOutcome::Built });
        }
    }
}

fn label(stage: boot::BootStage) -> String {
    format!("boot: {stage}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_avx_is_reported_with_a_remedy() {
        let (with, without) = ("flags : fpu avx\n", "flags : fpu sse4_2\n");
        assert_eq!(without_avx(Accelerator::Kvm, with), None);
        assert_eq!(without_avx(Accelerator::Tcg, without), None);
        assert!(
            without_avx(Accelerator::Kvm, without).is_some_and(|warning| warning.contains("--accel tcg"))
        );
    }
}
