//! `cargo xtask smoke`: builds what is missing, boots each artifact and runs the checks on it.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::manifest::Artifact;
use rave_image::{Manifest, artifact};
use rave_smoke::registry::{self, Check};
use rave_smoke::report::{BootTimes, Counts, Report, SCHEMA, Subject, junit};
use rave_smoke::{Expected, Guest, Limits, Port, suite};
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

/// How long one check may wait for its answer: under software emulation a browser's page takes seconds.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(90);
/// How long the guest may take to power itself off; systemd gives each unit 90 s.
const SHUTDOWN: std::time::Duration = std::time::Duration::from_secs(120);

/// Characters of an answer in the table.
const ANSWER_WIDTH: usize = 60;

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
    let reports = formats.iter().map(|format| session.smoke(*format)).collect::<anyhow::Result<Vec<_>>>()?;
    write_junit(args.junit.as_deref(), &reports)?;
    show(&reports, args, ui)
}

fn chosen(args: &cli::Smoke) -> anyhow::Result<Vec<Check>> {
    registry::select(&args.only, &args.skip).map_err(|unknown| {
        let failure = Failure::usage(format!("there is no check {:?}", unknown.name));
        let list = "`cargo xtask smoke --list` shows them all";
        match unknown.nearest {
            Some(nearest) => failure.remedy(format!("did you mean {nearest}? {list}")).into(),
            None => failure.remedy(list).into(),
        }
    })
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

impl Session<'_> {
    fn smoke(&self, format: Format) -> anyhow::Result<Report> {
        let out_dir = &self.settings.out_dir;
        let artifact = self.manifest.artifact(out_dir, format).map_err(|error| image::failure(&error))?;
        let path = artifact::verify(out_dir, artifact).map_err(|error| image::failure(&error))?;
        self.ui.note(&format!("booting {}", artifact.file));
        // The disk outlives the machine, so that its file system can be judged.
        fs::create_dir_all(&self.settings.state_dir)?;
        let folder = tempfile::Builder::new().prefix("smoke-").tempdir_in(&self.settings.state_dir)?;
        let folder = Utf8PathBuf::from_path_buf(folder.path().to_owned()).map(|path| (path, folder));
        let (folder, _guard) = folder.map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
        let disk = folder.join("disk.qcow2");
        let sandbox = self.prepare(&path, format, &disk).map_err(|error| self.explain(&error))?;
        let instance = Instance::boot(sandbox.machine.clone(), self.verdict.engine, self.qemu);
        let mut instance = instance.map_err(|error| self.explain(&error))?;
        let subject = self.subject(artifact);
        match self.wait(&mut instance) {
            Ok(ready) => self.check(Booted { sandbox, instance, ready, subject, folder, disk }),
            Err(error @ Error::Boot(_)) => self.never_ready(instance, &error, subject),
            Err(error) => Err(failure(&error).into()),
        }
    }

    fn prepare(&self, artifact: &Utf8Path, format: Format, disk: &Utf8Path) -> Result<Sandbox, Error> {
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
            overlay: Overlay::Keep(disk.to_owned()),
            disk_mib: spec.vm.disk.get(),
            memory_mib: spec.vm.memory.get(),
            cpus: spec.vm.cpus,
            firmware: Firmware::Bios,
            display: Display::Headless,
            services: &services,
            user: &self.manifest.guest.user,
        };
        let sandbox = plan.prepare()?;
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

    fn check(&self, booted: Booted) -> anyhow::Result<Report> {
        let Booted { sandbox, instance, ready, subject, folder, disk } = booted;
        let ssh = sandbox.ssh(&instance, &ready).map_err(|error| failure(&error))?;
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
            disk,
            folder,
        };
        let rows = suite::run(self.checks, &mut guest, &self.ui.sink());
        if let Some(instance) = guest.instance.take() {
            instance.kill().map_err(|error| failure(&error))?;
        }
        let rows = rows.map_err(|_| Failure::new(Code::Interrupted, "interrupted"))?;
        let boot = Some(BootTimes::from(&ready.timeline));
        Ok(Report { schema: SCHEMA, subject, boot, boot_failure: None, rows })
    }

    fn never_ready(&self, instance: Instance, error: &Error, subject: Subject) -> anyhow::Result<Report> {
        let failure = failure(error);
        let mut lines = vec![failure.what];
        lines.extend(failure.detail);
        lines.push(format!("remedy: {}", failure.remedy));
        let log = self.settings.state_dir.join("logs").join(format!("serial-{}.log", self.settings.profile));
        if instance.save_serial_log(&log).is_ok() {
            lines.push(format!("the whole serial log: {log}"));
        }
        instance.kill().map_err(|error| crate::cmd::run::failure(&error))?;
        let rows = suite::not_run(self.checks, "the guest did not become ready");
        Ok(Report { schema: SCHEMA, subject, boot: None, boot_failure: Some(lines.join("\n")), rows })
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

/// A guest that became ready.
struct Booted {
    sandbox: Sandbox,
    instance: Instance,
    ready: Ready,
    subject: Subject,
    folder: Utf8PathBuf,
    disk: Utf8PathBuf,
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

fn show(reports: &[Report], args: &cli::Smoke, ui: &Ui) -> anyhow::Result<Code> {
    let total = reports.iter().map(Report::counts).fold(Counts::default(), |total, counts| total + counts);
    if args.json {
        ui.data(&serde_json::to_string_pretty(reports)?);
    } else {
        for report in reports {
            show_one(report, ui);
        }
        let not_run = if total.not_run > 0 { format!(", {} not run", total.not_run) } else { String::new() };
        ui.data(&format!("{} passed, {} failed{not_run}", total.passed, total.failed));
    }
    if total.failed == 0 && total.not_run == 0 {
        return Ok(Code::Ok);
    }
    let failed = |report: &Report| {
        report
            .rows
            .iter()
            .filter(|row| row.outcome.reason().is_some())
            .map(|row| row.name.clone())
            .collect::<Vec<_>>()
    };
    let names: Vec<String> = reports.iter().flat_map(failed).collect();
    let again =
        format!("cargo xtask smoke --profile {} --only {}", reports[0].subject.profile, names.join(","));
    ui.note(&format!("to run just these again: {again}"));
    Ok(Code::CheckFailed)
}

fn show_one(report: &Report, ui: &Ui) {
    let subject = &report.subject;
    let boot = report.boot.map_or_else(String::new, |boot| format!(", ready after {:.1} s", boot.ready));
    ui.data(&format!("{} under {} ({}){boot}", subject.artifact, subject.accelerator, subject.firmware));
    if let Some(reason) = &report.boot_failure {
        ui.data(reason);
    }
    let rows = report.rows.iter().map(|row| {
        let answer = row.outcome.reason().unwrap_or(&row.last_answer);
        let answer: String = answer.lines().next().unwrap_or_default().chars().take(ANSWER_WIDTH).collect();
        vec![row.name.clone(), row.outcome.word().to_owned(), format!("{:.1} s", row.seconds), answer]
    });
    ui.table(&["check", "result", "time", "last answer"], &rows.collect::<Vec<_>>());
    for row in report.rows.iter().filter(|row| row.outcome.word() != "ok" && row.outcome.word() != "not run")
    {
        ui.data(&format!("{}: {}", row.name, row.outcome.reason().unwrap_or_default()));
    }
}
