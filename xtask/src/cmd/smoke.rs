//! `cargo xtask smoke`: builds what is missing, boots each artifact and runs the checks on it.

mod scratch;
mod show;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::manifest::Artifact;
use rave_image::{Manifest, artifact};
use rave_process::interrupt;
use rave_smoke::registry::{self, Check};
use rave_smoke::report::{BootFailure, BootTimes, Outcome, Report, Row, SCHEMA, SerialLog, Subject, junit};
use rave_smoke::{Expected, Guest, Limits, Port, serial, suite};
use rave_spec::Format;
use rave_vm::accel::Verdict;
use rave_vm::machine::{Arch, Display, Firmware, Overlay};
use rave_vm::ports::Want;
use rave_vm::qemu::Qemu;
use rave_vm::sandbox::{Plan, Sandbox, ServicePort};
use rave_vm::{Error, Instance, Ready, record};

use crate::cli;
use crate::cmd::image::{self, Wanted};
use crate::cmd::run::{Stages, accelerator, deadline, failure, run_root};
use crate::exit::{Code, Failure};
use crate::host::{self, Needs};
use crate::settings::Settings;
use crate::ui::Ui;
use scratch::Scratch;

/// How long one check may wait for its answer: under software emulation a browser's page takes seconds.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(90);
/// How long the guest may take to power itself off; systemd gives each unit 90 s.
const SHUTDOWN: std::time::Duration = std::time::Duration::from_secs(120);

pub(crate) fn run(args: &cli::Smoke, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let checks = chosen(args)?;
    if args.list {
        list(&checks, ui);
        return Ok(Code::Ok);
    }
    host::ensure(settings, ui, Needs::Smoke)?;
    let formats = settings.formats(&args.formats);
    let manifest = image::build(settings, &Wanted::to_boot(&formats), ui)?.manifest;
    let qemu = Qemu::find(Arch::X86_64).map_err(|error| failure(&error))?;
    let verdict = accelerator(settings, &qemu, ui)?;
    record::sweep(&run_root(settings)).map_err(|error| failure(&error))?;
    let session =
        Session { args, settings, ui, checks: &checks, manifest: &manifest, qemu: &qemu, verdict: &verdict };
    // All of them before the first boot: a damaged one should not cost the minutes that the others take.
    let artifacts =
        formats.iter().map(|format| session.artifact(*format)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut reports = Vec::new();
    let mut end = Ok(());
    for (artifact, path) in artifacts {
        match session.smoke(artifact, &path) {
            Ok(report) => reports.push(report),
            Err(error) => end = Err(error),
        }
        if end.is_err() || interrupt::requested().is_some() {
            break;
        }
    }
    // What was found out is told, whatever came after it.
    if !reports.is_empty() {
        write_junit(args.junit.as_deref(), &reports)?;
        show::reports(&reports, args, settings, ui)?;
    }
    end?;
    Ok(code(&reports))
}

fn code(reports: &[Report]) -> Code {
    let all_passed = reports.iter().all(|report| {
        report.boot_failure.is_none() && report.rows.iter().all(|row| row.outcome == Outcome::Passed)
    });
    if interrupt::requested().is_some() {
        Code::Interrupted
    } else if all_passed {
        Code::Ok
    } else {
        Code::CheckFailed
    }
}

fn chosen(args: &cli::Smoke) -> anyhow::Result<Vec<Check>> {
    let checks = registry::select(&args.only, &args.skip).map_err(|unknown| {
        let failure = Failure::usage(format!("there is no check {:?}", unknown.name));
        let list = "`cargo xtask smoke --list` shows them all";
        match unknown.nearest {
            Some(nearest) => failure.remedy(format!("did you mean {nearest}? {list}")),
            None => failure.remedy(list),
        }
    })?;
    if checks.is_empty() {
        return Err(Failure::usage("--only and --skip together leave no check").into());
    }
    Ok(checks)
}

fn list(checks: &[Check], ui: &Ui) {
    let row = |check: &Check| [check.name, check.group.name(), check.title].map(String::from).to_vec();
    ui.table(&["check", "group", "passes when"], &checks.iter().map(row).collect::<Vec<_>>());
}

struct Session<'a> {
    args: &'a cli::Smoke,
    settings: &'a Settings,
    ui: &'a Ui,
    checks: &'a [Check],
    manifest: &'a Manifest,
    qemu: &'a Qemu,
    verdict: &'a Verdict,
}

impl<'a> Session<'a> {
    fn artifact(&self, format: Format) -> anyhow::Result<(&'a Artifact, Utf8PathBuf)> {
        let out_dir = &self.settings.out_dir;
        let artifact = self.manifest.artifact(out_dir, format).map_err(|error| image::failure(&error))?;
        let path = artifact::verify(out_dir, artifact).map_err(|error| image::failure(&error))?;
        Ok((artifact, path))
    }

    fn smoke(&self, artifact: &Artifact, path: &Utf8Path) -> anyhow::Result<Report> {
        self.ui.note(&format!("booting {}", artifact.file));
        let scratch = Scratch::new(&self.settings.state_dir)?;
        let sandbox = self.prepare(path, artifact.format, &scratch).map_err(|error| self.explain(&error))?;
        let instance = Instance::boot(sandbox.machine.clone(), self.verdict.engine, self.qemu);
        let mut instance = instance.map_err(|error| self.explain(&error))?;
        let (boot, boot_failure, rows) = match self.wait(&mut instance) {
            Ok(ready) => {
                let boot = BootTimes::from(&ready.timeline);
                (Some(boot), None, self.check(&sandbox, instance, &ready, &scratch)?)
            }
            Err(error) => {
                instance.kill().map_err(|error| failure(&error))?;
                let Error::Boot(why) = &error else { return Err(failure(&error).into()) };
                let rows = suite::not_run(self.checks, "the guest did not become ready");
                (None, Some(BootFailure::from(&**why)), rows)
            }
        };
        let broken = boot_failure.is_some() || rows.iter().any(|row| row.outcome.is_failure());
        let serial = if broken { self.keep_serial_log(artifact.format, &scratch) } else { None };
        Ok(Report { schema: SCHEMA, subject: self.subject(artifact), boot, boot_failure, rows, serial })
    }

    fn prepare(&self, artifact: &Utf8Path, format: Format, scratch: &Scratch) -> Result<Sandbox, Error> {
        let spec = &self.settings.spec.spec;
        // The guest's ports are the image's own; only the host's come from the present settings.
        let inside = self.manifest.guest.services;
        let service = |(name, service): (rave_spec::ServiceName, rave_spec::Service)| {
            let host = service.host.get();
            ServicePort {
                name: name.to_string(),
                guest: inside.port(name.as_str()),
                host: if self.args.fixed_ports { Want::Fixed(host) } else { Want::FixedOrFree(host) },
            }
        };
        let services: Vec<ServicePort> = spec.services.iter().map(service).collect();
        let plan = Plan {
            run_root: &run_root(self.settings),
            label: self.settings.profile.as_str(),
            artifact,
            format,
            overlay: Overlay::Keep(scratch.disk()),
            disk_mib: spec.vm.disk.get(),
            memory_mib: spec.vm.memory.get(),
            cpus: spec.vm.cpus,
            firmware: Firmware::Bios,
            display: Display::Headless,
            services: &services,
            user: &self.manifest.guest.user,
        };
        let mut sandbox = plan.prepare()?;
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

    fn wait(&self, instance: &mut Instance) -> Result<Ready, Error> {
        let sink = self.ui.sink();
        let mut stages = Stages::new(&sink);
        let ready =
            instance.wait_ready(deadline(self.verdict.accelerator()), &mut |event| stages.take(event));
        stages.finish(ready.is_ok());
        ready
    }

    fn check(
        &self,
        sandbox: &Sandbox,
        instance: Instance,
        ready: &Ready,
        scratch: &Scratch,
    ) -> anyhow::Result<Vec<Row>> {
        let ssh = sandbox.ssh(&instance, ready).map_err(|error| failure(&error))?;
        let forwards = &instance.machine().forwards;
        let ports = forwards.iter().map(|forward| Port {
            service: forward.name.clone(),
            host: forward.bind,
            number: forward.host,
        });
        let npm = &self.manifest.npm_packages;
        let mut guest = Guest {
            ssh,
            ports: ports.collect(),
            expected: Expected {
                user: self.manifest.guest.user.clone(),
                password: self.settings.spec.spec.guest.password.clone(),
                hardened: self.manifest.guest.hardened,
                disk_mib: self.settings.spec.spec.vm.disk.get(),
                npm_versions: npm
                    .iter()
                    .map(|package| (package.name.clone(), package.version.clone()))
                    .collect(),
                host_keys: ready.host_keys.clone(),
                boot_id: ready.boot_id.clone(),
            },
            limits: Limits { boot: deadline(self.verdict.accelerator()), answer: ANSWER, shutdown: SHUTDOWN },
            instance: Some(instance),
            disk: scratch.disk(),
            folder: scratch.path.clone(),
        };
        let rows = suite::run(self.checks, &mut guest, &self.ui.sink());
        if let Some(instance) = guest.instance.take() {
            instance.kill().map_err(|error| failure(&error))?;
        }
        Ok(rows)
    }

    /// Keeps the serial log of a run that went wrong, and its end for the report. A log that cannot be kept is no
    /// reason to keep silent about what went wrong.
    fn keep_serial_log(&self, format: Format, scratch: &Scratch) -> Option<SerialLog> {
        let logs = self.settings.state_dir.join("logs");
        let kept = logs.join(format!("smoke-{}-{format}.serial.log", self.settings.profile));
        let log = scratch.serial_log();
        let copied = fs::create_dir_all(&logs).and_then(|()| fs::copy(&log, &kept));
        match copied.and_then(|_| serial::last_lines(&kept)) {
            Ok(tail) => Some(SerialLog { file: kept.into_string(), tail }),
            Err(error) => {
                self.ui.warn(&format!("the serial log {log} could not be kept in {logs}: {error}"));
                None
            }
        }
    }

    fn subject(&self, artifact: &Artifact) -> Subject {
        Subject {
            base: self.manifest.base.to_string(),
            profile: self.manifest.profile.clone(),
            format: artifact.format.to_string(),
            artifact: artifact.file.clone(),
            sha256: artifact.sha256.to_string(),
            accelerator: self.verdict.accelerator().to_string(),
            firmware: "bios".into(),
        }
    }
}

fn write_junit(file: Option<&Utf8Path>, reports: &[Report]) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let partial = Utf8PathBuf::from(format!("{file}.partial"));
    let written = fs::write(&partial, junit(reports)).and_then(|()| fs::rename(&partial, file));
    written.map_err(|error| {
        Failure::usage(format!("cannot write {file}: {error}"))
            .remedy("name a file in a folder that exists")
            .into()
    })
}
