//! One artifact: its boot, its checks, and what is kept of them.

use std::fs;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::manifest::Artifact;
use rave_image::{Manifest, artifact};
use rave_smoke::registry::Check;
use rave_smoke::report::{Album, Boot, BootFailure, BootTimes, Moment, Row, Run, SerialLog, Subject};
use rave_smoke::{Expected, Guest, Limits, Port, serial, suite};
use rave_spec::Format;
use rave_vm::accel::Verdict;
use rave_vm::machine::{Machine, Nic, Overlay};
use rave_vm::ports::Want;
use rave_vm::qemu::Qemu;
use rave_vm::sandbox::{Plan, Sandbox};
use rave_vm::{BootEvent, Error, Instance, Ready, boot};

use super::files::Files;
use super::scratch::Scratch;
use crate::cli;
use crate::cmd::image;
use crate::cmd::run::{Stages, deadline, failure, run_root};
use crate::exit::Failure;
use crate::request::{self, Found};
use crate::settings::Settings;
use crate::ui::Ui;

/// How long one check may wait for its answer: under software emulation a browser's page takes seconds.
const ANSWER: Duration = Duration::from_secs(90);
/// How long the guest may take to power itself off; systemd gives each unit 90 s.
const SHUTDOWN: Duration = Duration::from_secs(120);

pub(super) struct Session<'a> {
    pub(super) args: &'a cli::Smoke,
    pub(super) settings: &'a Settings,
    pub(super) ui: &'a Ui,
    pub(super) checks: &'a [Check],
    pub(super) manifest: &'a Manifest,
    pub(super) qemu: &'a Qemu,
    pub(super) verdict: &'a Verdict,
    pub(super) files: &'a Files<'a>,
}

/// How the wait for a guest ended.
struct Waited {
    result: Result<Ready, Error>,
    /// The stages that the boot came to, and when.
    reached: Vec<(boot::Stage, Duration)>,
    elapsed: Duration,
}

impl<'a> Session<'a> {
    pub(super) fn artifact(&self, format: Format) -> anyhow::Result<(&'a Artifact, Utf8PathBuf)> {
        let out_dir = &self.settings.out_dir;
        let artifact = self.manifest.artifact(out_dir, format).map_err(|error| image::failure(&error))?;
        let path = artifact::verify(out_dir, artifact).map_err(|error| image::failure(&error))?;
        Ok((artifact, path))
    }

    pub(super) fn smoke(&self, artifact: &Artifact, path: &Utf8Path) -> anyhow::Result<Run> {
        self.ui.note(&format!("booting {}", artifact.boot_file().name));
        let started = Instant::now();
        let scratch = Scratch::new(&self.settings.state_dir)?;
        let sandbox = self.prepare(path, artifact.format, &scratch)?;
        let instance = Instance::boot(sandbox.machine.clone(), self.verdict.engine, self.qemu);
        let mut instance = instance.map_err(|error| self.explain(&error))?;
        let subject = self.subject(artifact, instance.machine());
        let mut album = self.files.album(&self.name(artifact.format));
        let waited = self.wait(&mut instance);
        let checks = self.checks_of(artifact.format);
        let (boot, rows) = match waited.result {
            Ok(ready) => {
                let rows = self.check(&checks, &sandbox, instance, &ready, &scratch, album.as_mut())?;
                (Boot::Ready(BootTimes::from(&ready.timeline)), rows)
            }
            Err(Error::Boot(why)) => {
                if let Some(album) = &mut album {
                    album.take(Some(&mut instance), Moment::BootFailed);
                }
                instance.kill().map_err(|error| failure(&error))?;
                let rows = suite::not_run(&checks, "the guest did not become ready");
                (Boot::Failed(BootFailure::new(&why, &waited.reached, waited.elapsed)), rows)
            }
            Err(error) => {
                instance.kill().map_err(|error| failure(&error))?;
                return Err(failure(&error).into());
            }
        };
        let broken = matches!(boot, Boot::Failed(_)) || rows.iter().any(|row| row.outcome.is_failure());
        let serial = if broken || self.files.has_report() {
            self.keep_serial_log(artifact.format, &scratch)
        } else {
            None
        };
        let (screenshots, warnings) =
            album.map(|album| (album.screenshots, album.warnings)).unwrap_or_default();
        for warning in &warnings {
            self.ui.warn(warning);
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Run { subject, seconds, boot, rows, screenshots, warnings, serial })
    }

    /// What the files of this run are called.
    fn name(&self, format: Format) -> String {
        format!("{}-{format}", self.settings.profile)
    }

    fn prepare(&self, artifact: &Utf8Path, format: Format, scratch: &Scratch) -> anyhow::Result<Sandbox> {
        let host = |port| if self.args.fixed_ports { Want::Fixed(port) } else { Want::FixedOrFree(port) };
        let services = request::services(self.settings, self.manifest, host);
        let run_root = run_root(self.settings);
        let found = Found { manifest: self.manifest, path: artifact, format };
        let plan = Plan {
            overlay: Overlay::Keep(scratch.disk()),
            ..request::machine(self.settings, &run_root, found, &services)?
        };
        let mut sandbox = plan.prepare().map_err(|error| self.explain(&error))?;
        sandbox.machine.files.serial_log = scratch.serial_log();
        for port in &sandbox.ports {
            if let Some(taken) = &port.fell_back_from {
                self.ui.note(&format!("{taken}; using {}", port.port));
            }
        }
        Ok(sandbox)
    }

    /// A taken port needs another remedy here than `run` has.
    fn explain(&self, error: &Error) -> Failure {
        match error {
            Error::PortTaken(_) if self.args.fixed_ports => {
                failure(error).remedy("free the port, or leave --fixed-ports out to use free ones")
            }
            error => failure(error),
        }
    }

    fn wait(&self, instance: &mut Instance) -> Waited {
        let sink = self.ui.sink();
        let mut stages = Stages::new(&sink);
        let mut reached = Vec::new();
        let started = Instant::now();
        let result = instance.wait_ready(deadline(self.verdict.accelerator()), &mut |event| {
            if let BootEvent::Reached { stage, at } = event {
                reached.push((stage, at));
            }
            stages.take(event);
        });
        stages.finish(result.is_ok());
        Waited { result, reached, elapsed: started.elapsed() }
    }

    /// The checks that apply to a format: a live session keeps nothing.
    fn checks_of(&self, format: Format) -> Vec<Check> {
        let keeps = format != Format::Iso;
        self.checks.iter().filter(|check| keeps || !check.needs_disk).copied().collect()
    }

    fn check(
        &self,
        checks: &[Check],
        sandbox: &Sandbox,
        instance: Instance,
        ready: &Ready,
        scratch: &Scratch,
        album: Option<&mut Album>,
    ) -> anyhow::Result<Vec<Row>> {
        let ssh = sandbox.ssh(&instance, ready).map_err(|error| failure(&error))?;
        let settings = &self.settings.spec.spec;
        let mut guest = Guest {
            ssh,
            ports: Port::all(&instance),
            expected: Expected::of(
                &self.manifest.guest,
                &settings.guest.password,
                settings.vm.disk.get(),
                self.manifest.npm_versions(),
                ready,
            ),
            limits: Limits { boot: deadline(self.verdict.accelerator()), answer: ANSWER, shutdown: SHUTDOWN },
            instance: Some(instance),
            disk: scratch.disk(),
            folder: scratch.path.clone(),
        };
        let sink = self.ui.sink();
        let rows = match album {
            Some(album) => suite::run_with_pictures(checks, &mut guest, album, &sink),
            None => suite::run(checks, &mut guest, &sink),
        };
        if let Some(instance) = guest.instance.take() {
            instance.kill().map_err(|error| failure(&error))?;
        }
        Ok(rows)
    }

    /// Keeps the serial log of a run that went wrong or is reported, and its end for the report. A log that cannot be
    /// kept is no reason to keep silent about what went wrong.
    fn keep_serial_log(&self, format: Format, scratch: &Scratch) -> Option<SerialLog> {
        let name = format!("smoke-{}.serial.log", self.name(format));
        let logs = self.files.report_files().unwrap_or_else(|| self.settings.state_dir.join("logs"));
        let (log, kept) = (scratch.serial_log(), logs.join(&name));
        let copied = fs::create_dir_all(&logs).and_then(|()| fs::copy(&log, &kept));
        match copied.and_then(|_| serial::last_lines(&kept)) {
            Ok(tail) => {
                let file = if self.files.has_report() { name } else { kept.into_string() };
                Some(SerialLog { file, tail })
            }
            Err(error) => {
                self.ui.warn(&format!("the serial log {log} could not be kept in {logs}: {error}"));
                None
            }
        }
    }

    fn subject(&self, artifact: &Artifact, machine: &Machine) -> Subject {
        Subject {
            base: self.manifest.base.to_string(),
            profile: self.manifest.profile.clone(),
            format: artifact.format.to_string(),
            artifact: artifact.boot_file().name.clone(),
            sha256: artifact.boot_file().sha256.to_string(),
            accelerator: self.verdict.accelerator().to_string(),
            firmware: "bios".into(),
            bus: machine.disk.as_ref().map_or("none", |disk| disk.interface.as_str()).into(),
            nic: machine.network.map_or("none", Nic::as_str).into(),
            memory_mib: machine.memory_mib,
            cpus: machine.cpus,
        }
    }
}
