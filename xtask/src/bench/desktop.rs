//! The desktop: when it is painted and how much memory it uses at rest, compared with Debian's own Xfce desktop.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::Utf8Path;
use rave_image::build::Baseline;
use rave_process::interrupt;
use rave_smoke::screen::Screen;
use rave_spec::{Feature, Format};
use rave_vm::Instance;

use crate::bench::boot::{With, plain_disk, plain_machine, with_sandbox};
use crate::bench::builder::Builder;
use crate::bench::{Report, Unit, seconds};
use rave::cmd::run::deadline;
use rave::settings::Settings;
use rave::ui::Ui;

/// Ratios of the boot to a painted desktop, and of the memory at rest, to the floor's.
const TARGET: f64 = 0.8;

/// How often the screen is polled: often enough to resolve a second, rarely enough not to slow the guest down.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How often the memory is polled.
const MEMORY_INTERVAL: Duration = Duration::from_secs(5);
/// The desktop is at rest if this many samples differ by no more than [`CALM`].
const CALM_SAMPLES: usize = 4;
/// MiB.
const CALM: f64 = 3.0;
/// A desktop that never rests is measured after this time.
const REST_LIMIT: Duration = Duration::from_secs(240);

/// One boot.
struct Desktop {
    painted: Duration,
    /// Memory in use, MiB: total minus `MemAvailable` (`proc_meminfo(5)`).
    memory: f64,
}

/// Adds the rows of the desktop, if the profile has one.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    with: &With<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    if !settings.profile()?.features.contains(&Feature::Desktop) {
        return Ok(());
    }
    Builder::new(settings, place, ui).build(&[Format::Qemu])?;
    ui.note("bench: Debian's own Xfce desktop, to compare");
    let plain = plain_disk(settings, place, Baseline::XfceDesktop, ui)?;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for run in 1..=report.runs {
        ui.note(&format!("bench: desktop {run} of {}, beside Debian's own", report.runs));
        floor.push(boot_plain(settings, &plain, with)?);
        ours.push(boot(settings, place, with)?);
    }
    let painted = |boots: &[Desktop]| seconds(&boots.iter().map(|boot| boot.painted).collect::<Vec<_>>());
    let memory = |boots: &[Desktop]| boots.iter().map(|boot| boot.memory).collect::<Vec<_>>();
    report.add_beside("boot to the desktop", Unit::Seconds, &painted(&ours), &painted(&floor), Some(TARGET));
    report.add_beside("memory at rest", Unit::Mebibytes, &memory(&ours), &memory(&floor), Some(TARGET));
    Ok(())
}

fn boot_plain(
    settings: &Settings,
    disk: &rave_image::disk::RawDisk,
    with: &With<'_>,
) -> anyhow::Result<Desktop> {
    let machine = plain_machine(settings, disk)?;
    let serial_log = machine.files.serial_log.clone();
    let started = Instant::now();
    let mut instance = Instance::boot(machine, with.probe.engine, with.qemu)?;
    let painted = until_painted(&mut instance, started, deadline(with.probe.accelerator()))?;
    let memory = at_rest(&mut || {
        let text = fs::read(&serial_log).with_context(|| format!("cannot read {serial_log}"))?;
        in_use(&String::from_utf8_lossy(&text)).context("the plain system has not reported its memory")
    })?;
    instance.kill()?;
    Ok(Desktop { painted, memory })
}

fn boot(settings: &Settings, place: &Utf8Path, with: &With<'_>) -> anyhow::Result<Desktop> {
    with_sandbox(settings, place, Format::Qemu, |sandbox| {
        let started = Instant::now();
        let mut instance = Instance::boot(sandbox.machine.clone(), with.probe.engine, with.qemu)?;
        let limit = deadline(with.probe.accelerator());
        let painted = until_painted(&mut instance, started, limit)?;
        let ready = instance.wait_ready(limit, &mut |_| ())?;
        let ssh = sandbox.ssh(&instance, &ready)?;
        let memory = at_rest(&mut || {
            let meminfo = ssh.exec("cat /proc/meminfo", limit)?;
            in_use(&meminfo.text()).context("/proc/meminfo lacks a line")
        })?;
        instance.kill()?;
        Ok(Desktop { painted, memory })
    })
}

/// Waits until the hypervisor's screen shows a panel.
fn until_painted(instance: &mut Instance, started: Instant, limit: Duration) -> anyhow::Result<Duration> {
    let picture = instance.machine().files.serial_log.with_file_name("bench.png");
    loop {
        instance.screenshot(&picture)?;
        let screen = Screen::read(&picture)?;
        if screen.panel.is_some() && !screen.is_blank() {
            return Ok(started.elapsed());
        }
        anyhow::ensure!(started.elapsed() < limit, "no desktop was painted in {} s", limit.as_secs());
        interrupt::pause(POLL_INTERVAL)?;
    }
}

/// Samples until the memory no longer changes.
fn at_rest(sample: &mut dyn FnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut seen: Vec<f64> = Vec::new();
    loop {
        interrupt::pause(MEMORY_INTERVAL)?;
        seen.push(sample()?);
        if is_calm(&seen) || started.elapsed() > REST_LIMIT {
            return Ok(seen[seen.len() - 1]);
        }
    }
}

fn is_calm(seen: &[f64]) -> bool {
    let recent = &seen[seen.len().saturating_sub(CALM_SAMPLES)..];
    let least = recent.iter().copied().fold(f64::MAX, f64::min);
    let most = recent.iter().copied().fold(f64::MIN, f64::max);
    recent.len() == CALM_SAMPLES && most - least <= CALM
}

/// MiB in use by the last two lines of `proc_meminfo(5)` in a text.
fn in_use(text: &str) -> Option<f64> {
    let last = |name: &str| -> Option<f64> {
        let line = text.lines().rev().find_map(|line| line.split_once(name).map(|(_, rest)| rest))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((last("MemTotal:")? - last("MemAvailable:")?) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_parsed_from_the_last_lines() {
        let text = "MemTotal: 4096 kB\nMemAvailable: 4096 kB\nlogin: MemTotal:  4096 kB\r\nMemAvailable:  1024 kB\r\n";
        assert_eq!(in_use(text), Some(3.0));
        assert_eq!(in_use("MemTotal: 4096 kB\n"), None);
    }

    #[test]
    fn the_system_is_idle_when_the_last_samples_agree() {
        assert!(!is_calm(&[160.0, 161.0, 162.0]));
        assert!(!is_calm(&[100.0, 160.0, 161.0, 162.0]));
        assert!(is_calm(&[100.0, 160.0, 161.0, 162.0, 163.0]));
    }
}
