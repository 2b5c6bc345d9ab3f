//! Builds: cold, with warm inputs, and with nothing to do, compared with plain mmdebstrap.

use std::fs;
use std::time::Duration;

use camino::Utf8Path;
use rave_image::bases::debian::{MmdebstrapMode, Rootfs};
use rave_spec::Format;

use crate::bench::builder::Builder;
use crate::bench::peer;
use crate::bench::{Report, Unit, mebibytes, seconds};
use rave::settings::Settings;
use rave::ui::Ui;

/// Ratio of a cold image to mmdebstrap alone.
const COLD_TARGET: f64 = 1.3;
/// The tool's own memory, in MiB.
const OWN_MEMORY_TARGET: f64 = 150.0;
/// The memory of the tool and all programs that it runs, in MiB.
const MEMORY_TARGET: f64 = 300.0;
/// The qcow2 of the smallest profile, in MiB: 700 MB.
const HEADLESS_TARGET: f64 = 700e6 / 1_048_576.0;
/// A run with nothing to do, in seconds.
const NOTHING_TARGET: f64 = 0.3;

/// Adds the rows of builds.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    ui.note("bench: plain mmdebstrap of the same packages");
    let floor = plain(settings, place)?;
    let builder = Builder::new(settings, place, ui);
    ui.note("bench: a cold image");
    let cold = builder.build(&[Format::Qemu])?;
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
            &[stage.own_peak],
            OWN_MEMORY_TARGET,
        );
        report.add_with_target(
            &format!("memory with programs: {}", stage.name),
            Unit::Mebibytes,
            &[stage.peak],
            MEMORY_TARGET,
        );
    }
    ui.note("bench: an image of warm inputs");
    builder.forget(&["disk"])?;
    let warm = builder.build(&[Format::Qemu])?;
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
    sizes(report, settings, place)
}

/// How many of the largest packages are listed.
const LARGEST: usize = 10;

/// The download size, and its largest packages.
fn sizes(report: &mut Report, settings: &Settings, place: &Utf8Path) -> anyhow::Result<()> {
    let out_dir = place.join("out");
    let manifest = rave_image::Manifest::read(&out_dir)?;
    for artifact in &manifest.artifacts {
        for file in &artifact.files {
            let (what, size) = (format!("size of {}", file.name), [mebibytes(file.size)]);
            if artifact.format == Format::Qemu && settings.profile.as_str() == "headless" {
                report.add_with_target(&what, Unit::Mebibytes, &size, HEADLESS_TARGET);
            } else {
                report.add(what, Unit::Mebibytes, &size);
            }
        }
    }
    let mut packages: Vec<_> =
        manifest.origin.debian().into_iter().flat_map(|origin| &origin.packages).collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.installed_kib));
    for package in packages.into_iter().take(LARGEST) {
        let size = mebibytes(package.installed_kib * 1024);
        report.add(format!("installed: {}", package.name), Unit::Mebibytes, &[size]);
    }
    Ok(())
}

/// Plain mmdebstrap, from its default archives to a tar.
fn plain(settings: &Settings, place: &Utf8Path) -> anyhow::Result<Duration> {
    let spec = &settings.spec.spec;
    let rootfs = Rootfs::new(spec, settings.profile()?, 0);
    let tar = place.join("plain.tar");
    let argv = rootfs.plain_argv(MmdebstrapMode::of_this_process(), &tar);
    let elapsed = peer::time(&argv, None)?;
    fs::remove_file(&tar)?;
    Ok(elapsed)
}
