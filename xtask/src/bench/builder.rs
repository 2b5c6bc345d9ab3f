//! Builds in a separate folder, stage by stage.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_process::progress::{Event, StageOutcome};
use rave_spec::Format;

use crate::bench::memory::{Peak, with_peak};
use rave::build;
use rave::build::Places;
use rave::settings::Settings;
use rave::ui::Ui;
use rave_image::build::BuildOptions;

const NOTHING_RUNS: u32 = 5;

/// Builds the profile's image.
pub(super) struct Builder<'a> {
    settings: &'a Settings,
    /// The artifacts are in its folder `out`, the stages in `cache`.
    place: &'a Utf8Path,
    ui: &'a Ui,
}

/// The cost of a build.
pub(super) struct Build {
    pub(super) total: Duration,
    /// In the order in which they ended.
    pub(super) stages: Vec<Stage>,
}

pub(super) struct Stage {
    pub(super) name: String,
    pub(super) elapsed: Duration,
    /// The tool's own memory, MiB.
    pub(super) own_peak: f64,
    /// The memory of the tool and all its descendants, MiB.
    pub(super) peak: f64,
}

impl Build {
    /// A stage that was built.
    pub(super) fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(settings: &'a Settings, place: &'a Utf8Path, ui: &'a Ui) -> Self {
        Self { settings, place, ui }
    }

    /// Builds what is missing of these formats.
    pub(super) fn build(&self, formats: &[Format]) -> anyhow::Result<Build> {
        let wanted = BuildOptions::new(formats);
        let lock = build::lock(self.settings)?;
        let places = Places::below(self.place, "out");
        let request = build::request(self.settings, &wanted, &places, &lock)?;
        with_peak(|peak| {
            let stages = Mutex::new(Vec::new());
            let show = self.ui.sink();
            let sink = |event: Event<'_>| {
                note(&stages, peak, event);
                show(event);
            };
            let started = Instant::now();
            rave_image::build(&request, &sink)?;
            let total = started.elapsed();
            Ok(Build {
                total,
                stages: stages.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
            })
        })
    }

    /// Removes the results of stages and the artifacts.
    pub(super) fn forget(&self, stages: &[&str]) -> anyhow::Result<()> {
        fs::remove_dir_all(self.place.join("out"))?;
        stages.iter().try_for_each(|stage| {
            self.results(stage)?.iter().try_for_each(|folder| Ok(fs::remove_dir_all(folder)?))
        })
    }

    /// The raw disk that artifacts are made from.
    pub(super) fn disk(&self) -> anyhow::Result<Utf8PathBuf> {
        let folder = self.results("disk")?.pop().context("no disk was built")?;
        Ok(folder.join("disk.raw"))
    }

    fn results(&self, stage: &str) -> anyhow::Result<Vec<Utf8PathBuf>> {
        let mut found = Vec::new();
        for entry in self.place.join("cache/stages").read_dir_utf8()? {
            let entry = entry?;
            if entry.file_name().rsplit_once('-').is_some_and(|(name, _)| name == stage) {
                found.push(entry.into_path());
            }
        }
        Ok(found)
    }

    /// The whole program, as a user starts it.
    pub(super) fn nothing(&self) -> anyhow::Result<Vec<Duration>> {
        let program = std::env::current_exe()?;
        let run = || -> anyhow::Result<Duration> {
            let command = Cmd::new(&program)
                .args(["image", "--format", "qemu", "--base", self.settings.base.as_str(), "--profile"])
                .args([self.settings.profile.as_str(), "--out", self.place.join("out").as_str()])
                .env("RAVE_CACHE", self.place.join("cache").as_str())
                .current_dir(&self.settings.root);
            Ok(command.output()?.elapsed)
        };
        (0..NOTHING_RUNS).map(|_| run()).collect()
    }
}

/// Records a finished stage with the memory peak since the previous one ended; stages that ran in parallel share it.
fn note(stages: &Mutex<Vec<Stage>>, peak: &Peak, event: Event<'_>) {
    if let Event::StageFinished { stage, elapsed, outcome: StageOutcome::Built } = event {
        let stage =
            Stage { name: stage.to_owned(), elapsed, own_peak: peak.take_own(), peak: peak.take_all() };
        stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(stage);
    }
}
