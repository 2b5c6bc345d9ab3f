//! Sandboxes as clones of a template: `up` to the first program and to all services, beside a cold boot and beside what QEMU itself
//! takes to go on from the template until its guest answers.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Cmd, interrupt};
use rave_vm::machine::{Disk, DiskFormat, Interface, Machine, Memory, Nic, Overlay};
use rave_vm::standalone::Standalone;
use rave_vm::template::Template;

use crate::bench::boot::With;
use crate::bench::{Report, Unit, forks, seconds};
use rave::cmd::run::deadline;
use rave::settings::Settings;
use rave::ui::Ui;

/// `up` and the first `exec true`, in seconds.
const FIRST_TARGET: f64 = 1.5;
/// A clone's services ready, against a cold boot's.
const READY_TARGET: f64 = 0.4;

/// How often a sandbox is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(200);
/// How long a clone's guest may take to answer, and its QEMU to end.
const ANSWER: Duration = Duration::from_secs(60);

/// Adds the rows. State and templates are below `place`; the image is the user's own.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    with: &With<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    let tool = Tool {
        program: Utf8PathBuf::try_from(std::env::current_exe()?)?,
        state: place.join("state"),
        settings,
        limit: deadline(with.probe.accelerator()),
    };
    ui.note("bench: a template");
    let template = tool.up("first", false)?;
    tool.remove("first")?;
    let (mut floor, mut first, mut clones, mut boots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 1..=report.runs {
        ui.note(&format!("bench: sandboxes, {run} of {}", report.runs));
        floor.push(restore(&tool.template()?, place, with)?);
        let started = Instant::now();
        tool.up("clone", false)?;
        tool.run(&["exec", "clone", "--", "true"])?;
        first.push(started.elapsed());
        clones.push(tool.ready("clone", started)?);
        tool.remove("clone")?;
        let started = Instant::now();
        tool.up("cold", true)?;
        boots.push(tool.ready("cold", started)?);
        tool.remove("cold")?;
    }
    let (floor, boots) = (seconds(&floor), seconds(&boots));
    report.add("sandbox: its template is made, and the first is up", Unit::Seconds, &seconds(&[template]));
    report.add("sandbox: QEMU alone, until a clone's guest answers", Unit::Seconds, &floor);
    report.add_beside("sandbox: up to the first exec", Unit::Seconds, &seconds(&first), &floor, None);
    report.add_with_target(
        "sandbox: up to the first exec, alone",
        Unit::Seconds,
        &seconds(&first),
        FIRST_TARGET,
    );
    report.add("sandbox: a cold boot's services ready", Unit::Seconds, &boots);
    let clones = seconds(&clones);
    report.add_beside(
        "sandbox: a clone's services ready",
        Unit::Seconds,
        &clones,
        &boots,
        Some(READY_TARGET),
    );
    ui.note("bench: forks");
    forks::measure(report, &tool)
}

/// This program as a user runs it, with a state folder of its own.
pub(super) struct Tool<'a> {
    program: Utf8PathBuf,
    state: Utf8PathBuf,
    settings: &'a Settings,
    limit: Duration,
}

impl Tool<'_> {
    pub(super) fn up(&self, name: &str, cold: bool) -> anyhow::Result<Duration> {
        let (base, profile) = (self.settings.base.as_str(), self.settings.profile.as_str());
        let mut words = vec!["up", name, "--base", base, "--profile", profile];
        words.extend(["--out", self.settings.out_dir.as_str()]);
        words.extend(cold.then_some("--cold"));
        self.run(&words)
    }

    pub(super) fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.run(&["rm", "--force", name]).map(drop)
    }

    /// Waits until all services are ready; how long after `since` that was.
    pub(super) fn ready(&self, name: &str, since: Instant) -> anyhow::Result<Duration> {
        loop {
            let about = self.command(&["inspect", name, "--json"]).output()?;
            let about: serde_json::Value = serde_json::from_slice(&about.stdout)?;
            if about["status"]["is_ready"] == true {
                return Ok(since.elapsed());
            }
            anyhow::ensure!(since.elapsed() < self.limit, "{name} is not ready: {about}");
            interrupt::pause(LOOK)?;
        }
    }

    /// What a sandbox takes of the host's memory (Pss), bytes.
    pub(super) fn memory(&self, name: &str) -> anyhow::Result<u64> {
        let about = self.command(&["inspect", name, "--json"]).output()?;
        let about: serde_json::Value = serde_json::from_slice(&about.stdout)?;
        about["memory"].as_u64().with_context(|| format!("{name} does not run"))
    }

    pub(super) fn run(&self, words: &[&str]) -> anyhow::Result<Duration> {
        Ok(self.command(words).output()?.elapsed)
    }

    fn command(&self, words: &[&str]) -> Cmd {
        Cmd::new(self.program.as_std_path())
            .args(words)
            .env("RAVE_STATE", self.state.as_str())
            .env("RAVE_CACHE", self.settings.cache_dir.as_str())
            .current_dir(&self.settings.root)
    }

    /// The one template that was made.
    fn template(&self) -> anyhow::Result<Template> {
        let folder = self.state.join("templates");
        let mut entries = folder.read_dir_utf8().with_context(|| format!("no {folder}"))?.flatten();
        let found = entries.find(|entry| Template::at(entry.path()).check().is_ok());
        found.map(|entry| Template::at(entry.path())).context("no template was made")
    }
}

/// QEMU and the guest alone: nothing is renewed.
fn restore(template: &Template, place: &Utf8Path, with: &With<'_>) -> anyhow::Result<Duration> {
    let key = template.check().map_err(|damage| anyhow::anyhow!("{damage}"))?;
    let machine = Machine {
        disk: Some(Disk::whole(template.disk(), DiskFormat::Qcow2, Interface::Virtio)),
        overlay: Overlay::Throwaway,
        disk_mib: Some(key.disk_mib),
        memory_mib: key.memory_mib,
        memory: Memory::CopyOf(template.memory()),
        kind: Some(key.machine),
        cpus: key.cpus,
        network: Some(Nic::Virtio),
        channel: true,
        ..Machine::new("floor", &place.join("floor"))
    };
    let started = Instant::now();
    let mut machine = Standalone::start_clone(machine, template, with.probe.engine, with.qemu)?;
    let answered = machine.at_barrier(ANSWER).map(|_| started.elapsed());
    machine.end(ANSWER);
    Ok(answered?)
}
