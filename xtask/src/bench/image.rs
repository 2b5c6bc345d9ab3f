//! Builds: cold, with warm inputs, and with nothing to do, beside plain mmdebstrap.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_image::bases::debian::{Mode, Rootfs};
use rave_image::build::{ChangedArtifact, DEFAULT_EPOCH};
use rave_process::Cmd;
use rave_process::progress::{Event, Outcome};
use rave_spec::Format;

use crate::bench::memory::{Peak, with_peak};
use crate::bench::{Report, Unit, seconds};
use crate::cmd::image::{self, Wanted};
use crate::request::{self, Places};
use crate::settings::Settings;
use crate::ui::Ui;

/// A cold image against mmdebstrap alone, as a ratio.
const COLD_TARGET: f64 = 1.3;
/// The tool's own memory, in MiB.
const MEMORY_TARGET: f64 = 150.0;
/// A run with nothing to do, in seconds.
const NOTHING_TARGET: f64 = 0.3;

const NOTHING_RUNS: u32 = 5;

/// Adds the rows of builds.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    ui.note("bench: plain mmdebstrap of the same packages");
    let floor = plain(settings, place)?;
    let builder = Builder { settings, place, ui };
    ui.note("bench: a cold image");
    let cold = builder.build()?;
    report.add_beside(
        "image, cold",
        Unit::Seconds,
        &[cold.total.as_secs_f64()],
        &[floor.as_secs_f64()],
        Some(COLD_TARGET),
    );
    for stage in &cold.stages {
        report.add(format!("image, cold: {}", stage.name), Unit::Seconds, &seconds(&[stage.elapsed]));
        report.add_with_target(
            &format!("memory of the tool: {}", stage.name),
            Unit::Mebibytes,
            &[stage.peak],
            MEMORY_TARGET,
        );
    }
    ui.note("bench: an image of warm inputs");
    builder.forget(&["disk"])?;
    let warm = builder.build()?;
    report.add_beside(
        "image, warm inputs",
        Unit::Seconds,
        &[warm.total.as_secs_f64()],
        &[floor.as_secs_f64()],
        None,
    );
    ui.note("bench: nothing to do");
    let nothing = builder.nothing()?;
    report.add_with_target("image, nothing to do", Unit::Seconds, &seconds(&nothing), NOTHING_TARGET);
    sizes(report, place)
}

/// How many of the largest packages are told.
const LARGEST: usize = 10;

/// The size of what people download, and what in it is large.
fn sizes(report: &mut Report, place: &Utf8Path) -> anyhow::Result<()> {
    let out_dir = place.join("out");
    let mut manifest = rave_image::Manifest::read(&out_dir).map_err(|error| image::failure(&error))?;
    for artifact in &manifest.artifacts {
        for file in &artifact.files {
            report.add(format!("size of {}", file.name), Unit::Mebibytes, &[mebibytes(file.size)]);
        }
    }
    manifest.packages.sort_by_key(|package| std::cmp::Reverse(package.installed_kib));
    for package in manifest.packages.iter().take(LARGEST) {
        let size = mebibytes(package.installed_kib * 1024);
        report.add(format!("installed: {}", package.name), Unit::Mebibytes, &[size]);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of an image stay far below 2^52")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// mmdebstrap alone, from its own archives to a tar.
fn plain(settings: &Settings, place: &Utf8Path) -> anyhow::Result<Duration> {
    let spec = &settings.spec.spec;
    let rootfs = Rootfs::new(spec, settings.profile()?, DEFAULT_EPOCH);
    let tar = place.join("plain.tar");
    let argv = rootfs.plain_argv(Mode::of_this_process(), &tar);
    let started = Instant::now();
    Cmd::new(&argv[0]).args(&argv[1..]).output()?;
    let elapsed = started.elapsed();
    fs::remove_file(&tar)?;
    Ok(elapsed)
}

struct Builder<'a> {
    settings: &'a Settings,
    place: &'a Utf8Path,
    ui: &'a Ui,
}

struct Build {
    total: Duration,
    stages: Vec<Stage>,
}

struct Stage {
    name: String,
    elapsed: Duration,
    /// MiB.
    peak: f64,
}

impl Builder<'_> {
    fn build(&self) -> anyhow::Result<Build> {
        let formats = [Format::Qemu];
        let wanted = Wanted { formats: &formats, refresh: false, changed_artifact: ChangedArtifact::Replace };
        let places = Places::below(self.place, "out");
        let request = request::image(self.settings, &wanted, &places)?;
        with_peak(|peak| {
            let stages = Mutex::new(Vec::new());
            let show = self.ui.sink();
            let sink = |event: Event<'_>| {
                note(&stages, peak, event);
                show(event);
            };
            let started = Instant::now();
            rave_image::build(&request, &sink).map_err(|error| image::failure(&error))?;
            let total = started.elapsed();
            Ok(Build {
                total,
                stages: stages.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
            })
        })
    }

    /// Removes the results of stages and the artifacts.
    fn forget(&self, stages: &[&str]) -> anyhow::Result<()> {
        fs::remove_dir_all(self.place.join("out"))?;
        for entry in self.place.join("cache/stages").read_dir_utf8()? {
            let entry = entry?;
            if stages.iter().any(|stage| entry.file_name().starts_with(&format!("{stage}-"))) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The whole program, as a user starts it.
    fn nothing(&self) -> anyhow::Result<Vec<Duration>> {
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

/// Notes a finished stage with the peak since the one before it ended; stages that ran side by side share it.
fn note(stages: &Mutex<Vec<Stage>>, peak: &Peak, event: Event<'_>) {
    if let Event::StageFinished { stage, elapsed, outcome: Outcome::Built } = event {
        let stage = Stage { name: stage.to_owned(), elapsed, peak: peak.take() };
        stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(stage);
    }
}
