//! The formats: all five compared with one, each conversion compared with an equivalent tool, sizes compared with the
//! content.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::Utf8Path;
use rave_image::convert;
use rave_image::foreign::Links;
use rave_spec::{Compress, Compression, Format};

use crate::bench::builder::Builder;
use crate::bench::peer;
use crate::bench::{Report, Unit, mebibytes};
use rave::settings::Settings;
use rave::ui::Ui;

/// Ratio of all formats to one, each built from scratch.
const ALL_TARGET: f64 = 1.5;
/// Ratio of a conversion to its tool.
const TOOL_TARGET: f64 = 1.2;
/// Memory of the tool and all programs that it runs, in MiB.
const MEMORY_TARGET: f64 = 300.0;

/// All stages that a build may have.
const STAGES: &[&str] = &["rootfs", "tools", "guest", "disk", "vmdk"];

/// Adds the rows of formats. Downloads are cached beforehand, for one format as for all.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let builder = Builder::new(settings, place, ui);
    // One-time downloads must not count for whichever comes first.
    builder.build(&[Format::Qemu])?;
    ui.note("bench: one format, from nothing");
    builder.forget(STAGES)?;
    let one = builder.build(&[Format::Qemu])?.total;
    ui.note("bench: all formats, from nothing");
    builder.forget(STAGES)?;
    let all = builder.build(Format::ALL)?.total;
    let (one, all) = ([one.as_secs_f64()], [all.as_secs_f64()]);
    report.add_beside("all formats, from nothing, beside one", Unit::Seconds, &all, &one, Some(ALL_TARGET));
    sizes(report, &builder, place)?;
    builder.forget(&["vmdk"])?;
    let (one, all) = (builder.build(&[Format::Qemu])?.total, {
        builder.forget(&["vmdk"])?;
        builder.build(Format::ALL)?.total
    });
    report.add_beside(
        "all formats of a disk that is there, beside one",
        Unit::Seconds,
        &[all.as_secs_f64()],
        &[one.as_secs_f64()],
        None,
    );
    for format in Format::ALL {
        ui.note(&format!("bench: {format} beside its tool"));
        conversion(report, &builder, place, *format)?;
    }
    compressed_raw(report, settings, &builder, place, ui)
}

/// Download sizes compared with the guest's content.
fn sizes(report: &mut Report, builder: &Builder<'_>, place: &Utf8Path) -> anyhow::Result<()> {
    let content = fs::metadata(builder.disk()?)?.blocks() * 512;
    let manifest = rave_image::Manifest::read(&place.join("out"))?;
    for artifact in &manifest.artifacts {
        for file in &artifact.files {
            let allocated = fs::metadata(place.join("out").join(&file.name))?.blocks() * 512;
            // A sparse file counts with its allocated size.
            let size = mebibytes(file.size.min(allocated));
            let what = format!("{} beside the disk's content", file.name);
            report.add_beside(&what, Unit::Mebibytes, &[size], &[mebibytes(content)], None);
        }
    }
    Ok(())
}

/// One format of an existing disk, compared with a program that makes the same.
fn conversion(
    report: &mut Report,
    builder: &Builder<'_>,
    place: &Utf8Path,
    format: Format,
) -> anyhow::Result<()> {
    builder.forget(&["vmdk"])?;
    let build = builder.build(&[format])?;
    let stage = build.stage(format.as_str()).context("a stage that was asked for was not built")?;
    let disk = builder.disk()?;
    let mut floor = Duration::ZERO;
    for (name, words) in tools(format) {
        let target = place.join("floor");
        let filled = |word: &&'static str| match *word {
            "DISK" => disk.to_string(),
            "TARGET" => target.to_string(),
            word => word.to_owned(),
        };
        let argv: Vec<String> = words.iter().map(filled).collect();
        floor += peer::time(&argv, None).with_context(|| format!("the floor of {format}: {name}"))?;
        fs::remove_file(&target)?;
    }
    let what = format!("{format} of a disk that is there, beside its tool");
    let (ours, floor) = ([stage.elapsed.as_secs_f64()], [floor.as_secs_f64()]);
    report.add_beside(&what, Unit::Seconds, &ours, &floor, Some(TOOL_TARGET));
    let what = format!("memory with programs: {format}");
    report.add_with_target(&what, Unit::Mebibytes, &[stage.peak], MEMORY_TARGET);
    Ok(())
}

const STREAM: &[&str] =
    &["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "DISK", "TARGET"];

/// The programs that make equivalent files, in sequence.
fn tools(format: Format) -> Vec<(&'static str, &'static [&'static str])> {
    match format {
        Format::Qemu => vec![(
            "qcow2",
            &[
                "qemu-img",
                "convert",
                "-f",
                "raw",
                "-O",
                "qcow2",
                "-c",
                "-o",
                "compression_type=zstd",
                "DISK",
                "TARGET",
            ],
        )],
        Format::Raw => vec![("raw", &["qemu-img", "convert", "-f", "raw", "-O", "raw", "DISK", "TARGET"])],
        Format::Virtualbox => vec![("stream-optimised VMDK", STREAM)],
        Format::Vmware => vec![
            ("VMDK", &["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "DISK", "TARGET"]),
            ("stream-optimised VMDK", STREAM),
        ],
        Format::Iso => vec![(
            "squashfs",
            &[
                "mksquashfs",
                "DISK",
                "TARGET",
                "-comp",
                "zstd",
                "-Xcompression-level",
                "6",
                "-noappend",
                "-no-progress",
                "-quiet",
            ],
        )],
    }
}

/// The optional `.img.zst`.
fn compressed_raw(
    report: &mut Report,
    settings: &Settings,
    builder: &Builder<'_>,
    place: &Utf8Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    if rave_process::find_program("zstd").is_none() {
        report.notes.push("not run: raw as .img.zst: zstd is not installed".into());
        return Ok(());
    }
    ui.note("bench: raw as .img.zst beside zstd");
    let disk = builder.disk()?;
    let seconds = |compression| -> anyhow::Result<f64> {
        let out = place.join("zst");
        let request = convert::ConvertRequest {
            file: &disk,
            links: Links::Refuse,
            is_raw: false,
            formats: &[Format::Raw],
            out_dir: &out,
            cache_dir: &place.join("cache"),
            log_dir: &place.join("logs"),
            appliance: rave_image::build::appliance(&settings.spec.spec, "", true),
            compress: Compress::all(compression),
            grown_to: None,
            epoch: 0,
        };
        let started = Instant::now();
        convert::convert(&request, &ui.sink())?;
        let elapsed = started.elapsed();
        fs::remove_dir_all(&out)?;
        Ok(elapsed.as_secs_f64())
    };
    // The time for the raw disk alone is subtracted.
    let ours = seconds(Compression::Zstd)? - seconds(Compression::None)?;
    let target = place.join("floor");
    let started = Instant::now();
    peer::time(&["zstd", "-q", "-6", "-T4", disk.as_str(), "-o", target.as_str()], None)?;
    let floor = started.elapsed().as_secs_f64();
    fs::remove_file(&target)?;
    let what = ".img.zst of a disk that is there, beside its tool";
    report.add_beside(what, Unit::Seconds, &[ours], &[floor], Some(TOOL_TARGET));
    Ok(())
}
