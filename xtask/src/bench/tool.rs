//! The measured sandboxes, controlled with a user's commands.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Cmd, interrupt};
use rave_vm::template::Template;

use crate::bench::boot::With;
use rave::cmd::run::deadline;
use rave::settings::Settings;

/// How often readiness is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// This program as a user runs it, with a separate state folder.
pub(crate) struct Tool<'a> {
    /// The program.
    pub(super) program: Utf8PathBuf,
    /// The state folder.
    pub(super) state: Utf8PathBuf,
    /// Which image.
    pub(super) settings: &'a Settings,
    /// How long a boot may take.
    pub(super) limit: Duration,
}

impl<'a> Tool<'a> {
    /// With the state and the templates below `place`; the image is the user's.
    pub(crate) fn below(place: &Utf8Path, settings: &'a Settings, with: &With<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            program: Utf8PathBuf::try_from(std::env::current_exe()?)?,
            state: place.join("state"),
            settings,
            limit: deadline(with.probe.accelerator()),
        })
    }

    pub(super) fn up(&self, name: &str, cold: bool) -> anyhow::Result<Duration> {
        self.up_with(name, if cold { &["--cold"] } else { &[] })
    }

    pub(super) fn up_with(&self, name: &str, flags: &[&str]) -> anyhow::Result<Duration> {
        let (base, profile) = (self.settings.base.as_str(), self.settings.profile.as_str());
        let mut arguments = vec!["up", name, "--base", base, "--profile", profile];
        arguments.extend(["--out", self.settings.out_dir.as_str()]);
        arguments.extend(flags);
        self.run(&arguments)
    }

    pub(super) fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.run(&["rm", "--force", name]).map(drop)
    }

    /// Removes what an interrupted or failed measurement has left.
    pub(crate) fn remove_all(&self) -> anyhow::Result<()> {
        let listed = self.command(&["ps", "--all", "--json"]).survives_interrupt().output()?.stdout;
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed)?;
        let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let arguments = [&["rm", "--force"], names.as_slice()].concat();
        self.command(&arguments).survives_interrupt().output()?;
        Ok(())
    }

    /// Waits until all services are ready; returns the time since `since`.
    pub(super) fn ready(&self, name: &str, since: Instant) -> anyhow::Result<Duration> {
        loop {
            let about = self.about(name)?;
            if about["status"]["is_ready"] == true {
                return Ok(since.elapsed());
            }
            anyhow::ensure!(since.elapsed() < self.limit, "{name} is not ready: {about}");
            interrupt::pause(POLL_INTERVAL)?;
        }
    }

    /// `inspect --json`.
    fn about(&self, name: &str) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.command(&["inspect", name, "--json"]).output()?.stdout)?)
    }

    /// The processes of a sandbox: QEMU, and the supervisor.
    pub(super) fn processes(&self, name: &str) -> anyhow::Result<[u32; 2]> {
        let about = self.about(name)?;
        let id = |value: &serde_json::Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let found = id(&about["qemu"]).zip(id(&about["status"]["supervisor"]));
        found.map(|(qemu, supervisor)| [qemu, supervisor]).with_context(|| format!("{name} is not running"))
    }

    /// What a command prints.
    pub(super) fn print(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        Ok(self.command(arguments).output()?.stdout)
    }

    /// Memory of a sandbox on the host (Pss), bytes.
    pub(super) fn memory(&self, name: &str) -> anyhow::Result<u64> {
        let about = self.about(name)?;
        about["memory"].as_u64().with_context(|| format!("{name} is not running"))
    }

    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        Ok(self.command(arguments).output()?.elapsed)
    }

    fn command(&self, arguments: &[&str]) -> Cmd {
        Cmd::new(self.program.as_std_path())
            .args(arguments)
            .env("RAVE_STATE", self.state.as_str())
            .env("RAVE_CACHE", self.settings.cache_dir.as_str())
            .current_dir(&self.settings.root)
    }

    /// The one template that was made.
    pub(super) fn template(&self) -> anyhow::Result<Template> {
        let folder = self.state.join("templates");
        let mut entries = folder.read_dir_utf8().with_context(|| format!("no {folder}"))?.flatten();
        let found = entries.find(|entry| Template::at(entry.path()).check().is_ok());
        found.map(|entry| Template::at(entry.path())).context("no template was made")
    }
}
