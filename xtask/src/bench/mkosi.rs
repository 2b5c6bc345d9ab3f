//! A peer: the same Debian packages with mkosi, if it is installed.

use std::fs;

use anyhow::Context as _;
use camino::Utf8Path;
use rave_process::{Cmd, find_program};
use rave_spec::Format;

use crate::bench::builder::Builder;
use crate::bench::peer;
use crate::bench::{Report, Unit};
use rave::settings::Settings;
use rave::ui::Ui;

/// Ratio of our root file system and disk to mkosi's.
const TARGET: f64 = 0.65;

/// Adds the row, or a note that says why there is none.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let Some(mirror) = mirror() else {
        report.notes.push("not run: mkosi: apt reports no mirror of Debian's own archive".into());
        return Ok(());
    };
    if find_program("mkosi").is_none() {
        report.notes.push("not run: mkosi is not installed".into());
        return Ok(());
    }
    let builder = Builder::new(settings, place, ui);
    builder.build(&[Format::Qemu])?;
    builder.forget(&["rootfs", "disk"])?;
    ui.note("bench: root file system and disk, beside mkosi");
    let build = builder.build(&[Format::Qemu])?;
    let stage = |name: &str| build.stage(name).map(|stage| stage.elapsed.as_secs_f64());
    let ours = stage("rootfs").zip(stage("disk")).context("a stage was not built")?;
    let floor = peer(settings, place, &mirror)?;
    let what = "root file system and disk, beside mkosi";
    report.add_beside(what, Unit::Seconds, &[ours.0 + ours.1], &[floor], Some(TARGET));
    Ok(())
}

/// The archive that this host's own packages come from (apt-get(8), `indextargets`).
fn mirror() -> Option<String> {
    let arguments = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"];
    let found = Cmd::new("apt-get").args(arguments).output().ok()?;
    found.text().lines().next().map(|line| line.trim_end_matches('/').to_owned())
}

/// Seconds that mkosi takes for a disk with the profile's packages, which an untimed build has fetched, as ours are
/// cached too. With `--mirror` it would also need the archive of debug symbols, which mirrors rarely have.
fn peer(settings: &Settings, place: &Utf8Path, mirror: &str) -> anyhow::Result<f64> {
    let spec = &settings.spec.spec;
    let folder = place.join("mkosi");
    // It needs a folder that its user owns, and leaves nothing elsewhere.
    fs::create_dir_all(folder.join("packages"))?;
    let fixed = [
        "mkosi",
        "--distribution=debian",
        &format!("--release={}", spec.debian.suite),
        &format!("--local-mirror={mirror}"),
        "--format=disk",
        "--bootable=yes",
        "--package=systemd-boot",
        "--output-dir=.",
        "--package-cache-dir=packages",
        "--force",
    ];
    let packages = spec.debian_packages(settings.profile()?);
    let packages = packages.into_iter().map(|package| format!("--package={package}"));
    let argv: Vec<String> =
        fixed.map(str::to_owned).into_iter().chain(packages).chain(["build".to_owned()]).collect();
    peer::time(&argv, Some(&folder))?;
    let elapsed = peer::time(&argv, Some(&folder))?.as_secs_f64();
    fs::remove_dir_all(&folder)?;
    Ok(elapsed)
}
