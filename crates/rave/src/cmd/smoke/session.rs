//! One row of the matrix: its boot, its checks, and their results.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rave_image::Manifest;
use rave_image::manifest::Artifact;
use rave_net::{Outbound, Policy};
use rave_smoke::isolation::{self, Attack, Servers, Target};
use rave_smoke::matrix::{MatrixRow, Medium};
use rave_smoke::registry::Check;
use rave_smoke::report::{
    Boot, BootFailure, BootTimes, CheckResult, Run, ScreenshotTrigger, Screenshots, SerialLog, Subject,
};
use rave_smoke::{Expected, Guest, TimeLimits, serial, suite};
use rave_spec::Format;
use rave_vm::accel::{Accelerator, ProbeResult};
use rave_vm::machine::Overlay;
use rave_vm::ports::PortPolicy;
use rave_vm::qemu::Qemu;
use rave_vm::sandbox::{LaunchConfig, Sandbox};
use rave_vm::ssh::Connection;
use rave_vm::{BootEvent, Error, Instance, Ready, boot};

use super::files::Files;
use super::install::{Unfinished, install};
use super::machine::{RowContext, firmware_of};
use super::row_output::RowOutput;
use super::scratch::Scratch;
use crate::cli;
use crate::cmd::run::{Stages, deadline, run_root};
use crate::command_error::CommandError;
use crate::request::{self, Found};
use crate::settings::Settings;
use crate::ui::Ui;

/// How long one check may wait for its answer.
const ANSWER: Duration = Duration::from_secs(90);
/// The same under software emulation, where pnpm takes 35 s on two idle processors, and several times that on busy ones.
const EMULATED_ANSWER: Duration = Duration::from_secs(240);
/// How long the guest may take to power off; systemd gives each unit 90 s.
const SHUTDOWN: Duration = Duration::from_secs(120);

pub(super) struct Session<'a> {
    pub(super) args: &'a cli::Smoke,
    pub(super) settings: &'a Settings,
    pub(super) ui: &'a Ui,
    pub(super) checks: &'a [Check],
    /// The attacks that `--isolation` makes instead of the checks.
    pub(super) attacks: &'a [&'static Attack],
    pub(super) manifest: &'a Manifest,
    pub(super) qemu: &'a Qemu,
    pub(super) probe: &'a ProbeResult,
    pub(super) files: &'a Files<'a>,
    /// Several rows run side by side.
    pub(super) is_crowd: bool,
}

/// An artifact, and the row that it is booted on.
pub(super) struct Job<'a> {
    pub(super) row: MatrixRow,
    pub(super) artifact: &'a Artifact,
    pub(super) path: Utf8PathBuf,
}

/// The disk that a row boots: the artifact, or the disk that it was installed to.
struct Booted {
    path: Utf8PathBuf,
    format: Format,
    user: String,
    password: String,
}

/// How the wait for a guest ended.
struct Waited {
    result: Result<Ready, Error>,
    /// The stages that the boot reached, and when.
    reached: Vec<(boot::BootStage, Duration)>,
    elapsed: Duration,
}

impl Session<'_> {
    pub(super) fn smoke(&self, job: &Job<'_>) -> anyhow::Result<Run> {
        let output = RowOutput::new(self.ui, job.row.name, !self.is_crowd);
        let result = self.run_job(job, &output);
        output.end();
        result
    }

    fn run_job(&self, job: &Job<'_>, output: &RowOutput<'_>) -> anyhow::Result<Run> {
        let Job { row, artifact, path } = job;
        output.note(&format!("booting {} as {}", artifact.boot_file().name, row.name));
        let started = Instant::now();
        let scratch = Scratch::new(&self.settings.state_dir)?;
        let mut screenshots = self.files.screenshots(&self.name(row));
        let checks: Vec<Check> =
            self.checks.iter().filter(|check| check.applies(row.is_live())).copied().collect();
        let mut booted = Booted {
            path: path.clone(),
            format: artifact.format,
            user: self.manifest.guest.user.clone(),
            password: self.settings.guest()?.password,
        };
        let context = RowContext {
            settings: self.settings,
            manifest: self.manifest,
            qemu: self.qemu,
            probe: self.probe,
            row,
            scratch: &scratch,
            output,
        };
        let mut rows = Vec::new();
        let mut installed = Ok(());
        if row.medium == Medium::Installed {
            match install(&context, path) {
                Ok(done) => {
                    rows.push(done.row);
                    booted = Booted {
                        path: done.disk,
                        format: Format::Qemu,
                        user: done.user,
                        password: done.password.unwrap_or(booted.password),
                    };
                }
                Err(Unfinished::Guest(why)) => installed = Err(*why),
                Err(Unfinished::Host(error)) => return Err(error),
            }
        }
        let (boot, checked) = match installed {
            Ok(()) => self.boot(&context, &booted, &checks, screenshots.as_mut())?,
            Err(why) => (Boot::Failed(why), self.not_run(&checks, "it was not installed")),
        };
        rows.extend(checked);
        let broken = matches!(boot, Boot::Failed(_)) || rows.iter().any(|row| row.outcome.is_failure());
        let serial = if broken || self.files.has_report() {
            self.keep_serial_log(row, &scratch, output)
        } else {
            None
        };
        let (screenshots, warnings) =
            screenshots.map(|screenshots| (screenshots.taken, screenshots.warnings)).unwrap_or_default();
        for warning in &warnings {
            output.warn(warning);
        }
        let seconds = started.elapsed().as_secs_f64();
        let subject = self.subject(row, artifact);
        Ok(Run { subject, seconds, boot, rows, screenshots, warnings, serial })
    }

    /// Boots, and runs the checks.
    fn boot(
        &self,
        context: &RowContext<'_>,
        booted: &Booted,
        checks: &[Check],
        mut screenshots: Option<&mut Screenshots>,
    ) -> anyhow::Result<(Boot, Vec<CheckResult>)> {
        if self.args.isolation {
            return self.attack(context, booted);
        }
        let sandbox = self.prepare(context, booted, None)?;
        let instance = Instance::boot(sandbox.machine.clone(), self.probe.engine, self.qemu);
        let mut instance = instance.map_err(|error| self.explain(&error))?;
        let waited = self.wait(&mut instance, context.output);
        match waited.result {
            Ok(ready) => {
                let boot = Boot::Ready(BootTimes::from(&ready.timeline));
                let mut guest = self.guest(booted, &sandbox, instance, &ready, context.scratch)?;
                let sink = context.output.sink();
                let results = match screenshots {
                    Some(screenshots) => suite::run_with_pictures(checks, &mut guest, screenshots, &sink),
                    None => suite::run(checks, &mut guest, &sink),
                };
                if let Some(instance) = guest.take_instance() {
                    instance.kill()?;
                }
                Ok((boot, results))
            }
            Err(Error::Boot(why)) => {
                if let Some(screenshots) = &mut screenshots {
                    screenshots.take(Some(&mut instance), ScreenshotTrigger::BootFailed);
                }
                instance.kill()?;
                let boot = Boot::Failed(BootFailure::new(&why, &waited.reached, waited.elapsed));
                Ok((boot, suite::not_run(checks, "the guest did not become ready")))
            }
            Err(error) => {
                instance.kill()?;
                Err(error.into())
            }
        }
    }

    /// The base name of this run's files.
    fn name(&self, row: &MatrixRow) -> String {
        format!("{}-{}", self.settings.profile, row.name)
    }

    fn not_run(&self, checks: &[Check], why: &str) -> Vec<CheckResult> {
        if self.args.isolation { isolation::not_run(self.attacks, why) } else { suite::not_run(checks, why) }
    }

    /// Boots with a network that reaches only the attacks' servers, and makes the attacks.
    fn attack(&self, context: &RowContext<'_>, booted: &Booted) -> anyhow::Result<(Boot, Vec<CheckResult>)> {
        let servers = Servers::start()?;
        let sandbox = self.prepare(context, booted, Some(servers.policy()))?;
        let (engine, outbound) = (self.probe.engine, Outbound::direct(servers.resolve()));
        let instance = Instance::boot_reaching(sandbox.machine.clone(), engine, self.qemu, outbound);
        let mut instance = instance.map_err(|error| self.explain(&error))?;
        let waited = self.wait(&mut instance, context.output);
        let result = match waited.result {
            Ok(ready) => {
                let ssh = sandbox.ssh(&instance, &ready)?;
                let target = Target {
                    ssh: &ssh,
                    log: &|| Ok(instance.network_log()),
                    has_names: true,
                    is_quiet: self.probe.accelerator() == Accelerator::Kvm && !self.is_crowd,
                };
                let rows = isolation::run(&target, self.attacks, &servers, &context.output.sink());
                Ok((Boot::Ready(BootTimes::from(&ready.timeline)), rows))
            }
            Err(Error::Boot(why)) => {
                let boot = Boot::Failed(BootFailure::new(&why, &waited.reached, waited.elapsed));
                Ok((boot, isolation::not_run(self.attacks, "the guest did not become ready")))
            }
            Err(error) => Err(error.into()),
        };
        instance.kill()?;
        result
    }

    fn prepare(
        &self,
        context: &RowContext<'_>,
        booted: &Booted,
        reach: Option<Policy>,
    ) -> anyhow::Result<Sandbox> {
        let RowContext { row, scratch, output, .. } = *context;
        let policy = |_, port| match (self.args.fixed_ports, self.is_crowd) {
            (true, _) => PortPolicy::Fixed(port),
            // Parallel machines need different ports.
            (false, true) => PortPolicy::Auto,
            (false, false) => PortPolicy::FixedOrFree(port),
        };
        let services = request::services(self.settings, self.manifest, policy);
        let run_root = run_root(self.settings);
        let found = Found { manifest: self.manifest, path: &booted.path, format: booted.format };
        let launch = LaunchConfig {
            overlay: Overlay::Keep(scratch.disk()),
            firmware: firmware_of(row)?,
            hardware: row.hardware(),
            user: &booted.user,
            ..request::machine(self.settings, &run_root, found, &services)?
        };
        let policy = reach.unwrap_or_else(|| launch.policy.clone());
        let launch = LaunchConfig { policy, ..launch };
        let mut sandbox = launch.prepare().map_err(|error| self.explain(&error))?;
        sandbox.machine.files.serial_log = scratch.serial_log();
        for taken in &sandbox.taken {
            if let Some(forward) = sandbox.machine.forward(&taken.service) {
                output.note(&format!("{taken}; using {}", forward.host));
            }
        }
        Ok(sandbox)
    }

    /// The remedy for a port in use differs from that of `run`.
    fn explain(&self, error: &Error) -> CommandError {
        match error {
            Error::PortTaken(_) if self.args.fixed_ports => {
                CommandError::from(error).remedy("free the port, or leave --fixed-ports out to use free ones")
            }
            error => error.into(),
        }
    }

    fn wait(&self, instance: &mut Instance, output: &RowOutput<'_>) -> Waited {
        let sink = output.sink();
        let mut stages = Stages::new(&sink);
        let mut reached = Vec::new();
        let started = Instant::now();
        let result = instance.wait_ready(deadline(self.probe.accelerator()), &mut |event| {
            match event {
                BootEvent::Reached { stage, at } => reached.push((stage, at)),
                BootEvent::Restarted { .. } => reached.clear(),
                BootEvent::Guest(_) => {}
            }
            stages.take(event);
        });
        stages.finish(result.is_ok());
        Waited { result, reached, elapsed: started.elapsed() }
    }

    fn guest(
        &self,
        booted: &Booted,
        sandbox: &Sandbox,
        instance: Instance,
        ready: &Ready,
        scratch: &Scratch,
    ) -> anyhow::Result<Guest> {
        let ssh = sandbox.ssh(&instance, ready)?;
        let is_emulated = self.probe.accelerator() == Accelerator::Tcg;
        Ok(Guest {
            connection: Connection::new(ssh.clone(), &scratch.path),
            ssh,
            ports: instance.machine().forwards.clone(),
            expected: Expected::of(
                &self.manifest.guest,
                (&booted.user, &booted.password),
                self.settings.spec.spec.vm.disk.get(),
                self.manifest.npm_versions(),
                ready,
            ),
            limits: TimeLimits {
                boot: deadline(self.probe.accelerator()),
                answer: if is_emulated { EMULATED_ANSWER } else { ANSWER },
                shutdown: SHUTDOWN,
            },
            is_emulated,
            instance: Mutex::new(Some(instance)),
            disk: scratch.disk(),
            folder: scratch.path.clone(),
        })
    }

    /// Keeps the serial log of a run that failed or is reported, and its end for the report. If the log cannot be kept,
    /// that is only a warning: the failure itself must still be reported.
    fn keep_serial_log(
        &self,
        row: &MatrixRow,
        scratch: &Scratch,
        output: &RowOutput<'_>,
    ) -> Option<SerialLog> {
        let name = format!("smoke-{}.serial.log", self.name(row));
        let logs = self.files.report_files().unwrap_or_else(|| self.settings.state_dir.join("logs"));
        let (log, kept) = (scratch.serial_log(), logs.join(&name));
        let copied = fs::create_dir_all(&logs).and_then(|()| fs::copy(&log, &kept));
        match copied.and_then(|_| serial::last_lines(&kept)) {
            Ok(tail) => {
                let file = if self.files.has_report() { name } else { kept.into_string() };
                Some(SerialLog { file, tail })
            }
            Err(error) => {
                output.warn(&format!("the serial log {log} could not be kept in {logs}: {error}"));
                None
            }
        }
    }

    fn subject(&self, row: &MatrixRow, artifact: &Artifact) -> Subject {
        let vm = self.settings.spec.spec.vm;
        Subject {
            base: self.manifest.base().to_string(),
            profile: self.manifest.profile.clone(),
            format: artifact.format.to_string(),
            row: row.name.into(),
            medium: row.medium.as_str().into(),
            artifact: artifact.boot_file().name.clone(),
            sha256: artifact.boot_file().sha256.to_string(),
            accelerator: self.probe.accelerator().to_string(),
            firmware: row.firmware.as_str().into(),
            bus: row.interface.as_str().into(),
            nic: row.nic.as_str().into(),
            memory_mib: vm.memory.get(),
            cpus: vm.cpus,
        }
    }
}
