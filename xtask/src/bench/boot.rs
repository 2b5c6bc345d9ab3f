//! Boots: to SSH and to all services, compared with a disk of the same kernel and packages without RAVE's files.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::Utf8Path;
use rave_guest::protocol::GuestStage;
use rave_image::build::{Baseline, BuildOptions};
use rave_process::interrupt;
use rave_spec::Format;
use rave_vm::accel::ProbeResult;
use rave_vm::boot::Timeline;
use rave_vm::machine::{Disk, DiskFormat, Interface, Machine, Nic, Overlay};
use rave_vm::ports::PortPolicy;
use rave_vm::qemu::Qemu;
use rave_vm::sandbox::Sandbox;
use rave_vm::{Error, Instance};

use crate::bench::builder::Builder;
use crate::bench::{Report, Unit, seconds};
use rave::build;
use rave::build::Places;
use rave::cmd::run::{deadline, run_root};
use rave::request::{self, Found};
use rave::settings::Settings;
use rave::ui::Ui;

/// Ratio of the boot to all services to the plain disk's boot to its login prompt.
const READY_TARGET: f64 = 2.0;

/// The prompt of getty(8) on the serial line of a running Debian system.
const LOGIN_PROMPT: &str = " login: ";

/// How often the serial log is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What runs the machines.
#[derive(Clone, Copy)]
pub(crate) struct With<'a> {
    pub(crate) qemu: &'a Qemu,
    pub(crate) probe: &'a ProbeResult,
}

/// Adds the rows of boots. `place` contains the image that was built.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    with: &With<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    Builder::new(settings, place, ui).build(&[Format::Qemu])?;
    let plain = plain_disk(settings, place, Baseline::Profile, ui)?;
    let (mut floor, mut boots) = (Vec::new(), Vec::new());
    for run in 1..=report.runs {
        ui.note(&format!("bench: boot {run} of {}, beside a plain system", report.runs));
        floor.push(boot_plain(settings, &plain, with)?);
        boots.push(boot(settings, place, with, Format::Qemu)?);
    }
    let rows = |part: &dyn Fn(&Timeline) -> Duration| seconds(&boots.iter().map(part).collect::<Vec<_>>());
    let reached = |stage: GuestStage| {
        move |timeline: &Timeline| {
            timeline.stages.iter().find(|(name, _)| *name == stage).map_or(timeline.ready, |(_, at)| *at)
        }
    };
    let floor = seconds(&floor);
    report.add("boot, plain system to its login prompt", Unit::Seconds, &floor);
    report.add_beside("boot to SSH", Unit::Seconds, &rows(&reached(GuestStage::Sshd)), &floor, None);
    report.add_beside(
        "boot to all services",
        Unit::Seconds,
        &rows(&|timeline| timeline.ready),
        &floor,
        Some(READY_TARGET),
    );
    report.add("boot: firmware", Unit::Seconds, &rows(&|timeline| timeline.firmware));
    report.add("boot: boot loader", Unit::Seconds, &rows(&|timeline| timeline.loader));
    report.add("boot: kernel and initrd", Unit::Seconds, &rows(&|timeline| timeline.kernel_initrd));
    report.add("boot: userspace", Unit::Seconds, &rows(&|timeline| timeline.userspace));
    Ok(())
}

/// Adds a row for each format: its boot to all services on its target hardware, compared with the qcow2's.
pub(crate) fn measure_formats(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    with: &With<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    Builder::new(settings, place, ui).build(Format::ALL)?;
    let mut floor = Vec::new();
    for format in Format::ALL {
        let mut boots = Vec::new();
        for run in 1..=report.runs {
            ui.note(&format!("bench: boot of {format}, {run} of {}", report.runs));
            boots.push(boot(settings, place, with, *format)?.ready);
        }
        let what = format!("boot to all services: {format}");
        if *format == Format::Qemu {
            floor = seconds(&boots);
            report.add(what, Unit::Seconds, &floor);
        } else {
            report.add_beside(&what, Unit::Seconds, &seconds(&boots), &floor, None);
        }
    }
    Ok(())
}

pub(super) fn plain_disk(
    settings: &Settings,
    place: &Utf8Path,
    kind: Baseline,
    ui: &Ui,
) -> anyhow::Result<rave_image::disk::RawDisk> {
    let wanted = BuildOptions::new(&[]);
    let lock = build::lock(settings)?;
    let places = Places::below(place, "plain");
    let request = build::request(settings, &wanted, &places, &lock)?;
    Ok(rave_image::build::baseline_disk(&request, kind, &ui.sink())?)
}

/// A machine with a plain disk, of the size in rave.toml.
pub(super) fn plain_machine(
    settings: &Settings,
    disk: &rave_image::disk::RawDisk,
) -> anyhow::Result<Machine> {
    let vm = settings.spec.spec.vm;
    let name = format!("bench-plain-{}", std::process::id());
    let run_dir = run_root(settings).join(&name);
    fs::create_dir_all(&run_dir).with_context(|| format!("cannot create {run_dir}"))?;
    Ok(Machine {
        disk: Some(Disk::whole(&disk.path, DiskFormat::Raw, Interface::Virtio)),
        overlay: Overlay::Throwaway,
        disk_mib: Some(vm.disk.get()),
        memory_mib: vm.memory.get(),
        cpus: vm.cpus,
        network: Some(Nic::Virtio),
        ..Machine::new(name, &run_dir)
    })
}

fn boot_plain(
    settings: &Settings,
    disk: &rave_image::disk::RawDisk,
    with: &With<'_>,
) -> anyhow::Result<Duration> {
    let machine = plain_machine(settings, disk)?;
    let serial_log = machine.files.serial_log.clone();
    let started = Instant::now();
    let instance = Instance::boot(machine, with.probe.engine, with.qemu)?;
    let limit = deadline(with.probe.accelerator());
    loop {
        let text = fs::read(&serial_log).unwrap_or_default();
        if String::from_utf8_lossy(&text).contains(LOGIN_PROMPT) {
            break;
        }
        anyhow::ensure!(
            started.elapsed() < limit,
            "the plain system did not come up in {} s",
            limit.as_secs()
        );
        interrupt::pause(POLL_INTERVAL)?;
    }
    let elapsed = started.elapsed();
    instance.kill()?;
    Ok(elapsed)
}

/// Runs `work` with a machine of the image that was built.
pub(super) fn with_sandbox<T>(
    settings: &Settings,
    place: &Utf8Path,
    format: Format,
    work: impl FnOnce(&Sandbox) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let out_dir = place.join("out");
    let manifest = rave_image::Manifest::read(&out_dir)?;
    let artifact = manifest.artifact(&out_dir, format)?;
    let services = request::services(settings, &manifest, |_, _| PortPolicy::Auto);
    let (run_root, path) = (run_root(settings), out_dir.join(&artifact.boot_file().name));
    let found = Found { manifest: &manifest, path: &path, format };
    let launch = request::machine(settings, &run_root, found, &services)?;
    work(&launch.prepare()?)
}

fn boot(settings: &Settings, place: &Utf8Path, with: &With<'_>, format: Format) -> anyhow::Result<Timeline> {
    with_sandbox(settings, place, format, |sandbox| {
        let measured = || -> Result<Timeline, Error> {
            let mut instance = Instance::boot(sandbox.machine.clone(), with.probe.engine, with.qemu)?;
            let ready = instance.wait_ready(deadline(with.probe.accelerator()), &mut |_| ())?;
            instance.kill()?;
            Ok(ready.timeline)
        };
        Ok(measured()?)
    })
}
