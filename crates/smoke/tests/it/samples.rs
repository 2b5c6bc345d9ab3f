//! Reports of each kind, with values as in real runs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rave_smoke::registry::{CHECKS, Group};
use rave_smoke::report::{
    ArtifactChecks, Boot, BootFailure, BootTimes, CheckResult, Host, Material, Outcome, Report, Run,
    Screenshot, ScreenshotTrigger, SerialLog, StageTime, Subject, write,
};

/// What a guest may send to break out of its place in a page.
pub(crate) const HOSTILE: &str = "</details></pre><script>document.title='pwned'</script><img src=x onerror=\"alert(1)\"> \" ' & \u{1b}[31mred\u{1b}[0m\u{0} \u{202e}txt.exe";

const PICTURE: (u32, u32) = (1280, 800);

pub(crate) fn host() -> Host {
    Host {
        system: "linux x86_64".into(),
        cpus: 2,
        qemu: "10.0.2".into(),
        accelerator: "tcg".into(),
        accelerator_reason:
            "software emulation works: a guest ran in 1830 ms; /dev/kvm opens, but a tiny guest was not \
                             done after 6 s: the guest's interrupts came"
                .into(),
    }
}

pub(crate) fn report(runs: Vec<Run>, incomplete: Option<&str>) -> Report {
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_520_426);
    let incomplete = incomplete.map(str::to_owned);
    Report::new(host(), started, Duration::from_millis(412_300), vec![made()], runs, incomplete)
}

/// The host's results for an artifact.
fn made() -> ArtifactChecks {
    let row = CheckResult {
        name: "qemu-img-check".into(),
        group: "made".into(),
        title: "qemu-img finds no error in the qcow2".into(),
        outcome: Outcome::Passed,
        seconds: 0.4,
        attempts: 1,
        last_answer: "No errors were found on the image.".into(),
    };
    ArtifactChecks {
        format: "qemu".into(),
        rows: vec![row],
        not_here: vec!["xmllint: the descriptor's XML".into()],
    }
}

/// A run in which every check passed.
pub(crate) fn passed(format: &str) -> Run {
    let stages = ["userspace", "tools", "setup", "network", "sshd", "kanban", "router", "gateway", "ready"];
    let times = [16.2, 18.0, 20.4, 20.9, 22.3, 43.8, 38.1, 44.5, 45.1];
    let boot = BootTimes {
        firmware: 1.4,
        loader: 3.3,
        kernel_initrd: 8.9,
        userspace: 31.5,
        ready: 45.1,
        stages: stages
            .iter()
            .zip(times)
            .map(|(stage, at)| StageTime { stage: (*stage).into(), at })
            .collect(),
    };
    Run {
        subject: subject(format),
        seconds: 402.0,
        boot: Boot::Ready(boot),
        rows: rows(|_| Outcome::Passed),
        screenshots: vec![screenshot(format, "screen", ScreenshotTrigger::Looked)],
        warnings: Vec::new(),
        serial: Some(serial(format)),
    }
}

/// A run with one check of each bad outcome.
pub(crate) fn failed(format: &str) -> Run {
    let reason = "/healthz returned 503 (asked 31 times in 90 s)\nkanban: vibe-kanban.service is failed (failed, exit-code)";
    let outcome = |name: &str| match name {
        "gateway-health" => Outcome::Failed(reason.into()),
        "ssh-password" => {
            Outcome::Error("sshpass could not be started: No such file or directory (os error 2)".into())
        }
        "reboot" | "clean-shutdown" => Outcome::NotRun("QEMU ended (killed by SIGKILL)".into()),
        _ => Outcome::Passed,
    };
    let check = "gateway-health";
    let at_failure =
        screenshot(format, "failed-gateway-health", ScreenshotTrigger::CheckFailed(check.into()));
    Run {
        rows: rows(outcome),
        screenshots: vec![at_failure, screenshot(format, "screen", ScreenshotTrigger::Looked)],
        warnings: vec!["no picture of the screen when ssh-password failed: the machine has ended".into()],
        ..passed(format)
    }
}

/// A run whose boot hung in the initrd.
pub(crate) fn boot_failed(format: &str) -> Run {
    let reached = [("firmware", 0.0), ("boot loader", 1.4), ("kernel", 4.7), ("initrd", 8.8)];
    let failure = BootFailure {
        stage: "initrd".into(),
        cause: "not ready after 300 s".into(),
        evidence: "the kernel's start of its first program was seen on the serial port after 8.8 s".into(),
        remedy:
            "the kernel does not find the root filesystem: rebuild the image (cargo xtask image --refresh)"
                .into(),
        reached: reached.map(|(stage, at)| StageTime { stage: stage.into(), at }).to_vec(),
        waited: 300.0,
    };
    Run {
        seconds: 301.2,
        boot: Boot::Failed(failure),
        rows: rows(|_| Outcome::NotRun("the guest did not become ready".into())),
        screenshots: vec![screenshot(format, "boot-failed", ScreenshotTrigger::BootFailed)],
        ..passed(format)
    }
}

/// Writes a report with its pictures and serial logs to a folder of this test, which is kept for inspection.
pub(crate) fn written(name: &str, report: &Report) -> Utf8PathBuf {
    let place = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke-report").join(name);
    let parts = place.join("parts");
    fs::create_dir_all(&parts).unwrap();
    for run in &report.runs {
        for screenshot in run.screenshots.iter().filter(|screenshot| screenshot.file != HOSTILE) {
            paint(&parts.join(&screenshot.file));
        }
        if let Some(serial) = run.serial.as_ref().filter(|serial| serial.file != HOSTILE) {
            fs::write(parts.join(&serial.file), serial_text()).unwrap();
        }
    }
    let folder = place.join("report");
    write(&folder, report, &Material { manifest: &manifest(), folder: &parts }).unwrap();
    folder
}

fn manifest() -> String {
    let package =
        serde_json::json!({ "name": "systemd", "version": "257.8-1~deb13u2", "description": HOSTILE });
    let manifest = serde_json::json!({ "schema": 1, "base": "debian", "packages": vec![package; 40] });
    serde_json::to_string_pretty(&manifest).unwrap()
}

fn serial_text() -> String {
    let mut text = String::from("\u{1b}[H\u{1b}[J\u{1b}[1;1Hrave: boot loader\r\n");
    for n in 0..300 {
        let time = f64::from(n) / 60.0;
        write!(text, "[{time:12.6}] ACPI: FACP 0x000000007FFE1EEF 0000F4 (v03 BOCHS  BXPC     00000001)\r\n")
            .unwrap();
        write!(text, "[\u{1b}[0;32m  OK  \u{1b}[0m] Started \u{1b}[0;1;39munit-{n}.service\u{1b}[0m.\r\n")
            .unwrap();
    }
    text + HOSTILE
}

/// A minimal picture of a desktop: a wallpaper, a panel, a window.
fn paint(file: &Utf8Path) {
    let (width, height) = PICTURE;
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let shade = u8::try_from(y * 90 / height).unwrap();
            let color = match (x, y) {
                (_, 0..28) => [38, 42, 48],
                (260..1020, 140..170) => [62, 68, 76],
                (260..1020, 170..640) => [246, 247, 248],
                _ => [20 + shade / 3, 52 + shade / 2, 90 + shade],
            };
            pixels.extend(color);
        }
    }
    let mut encoder = png::Encoder::new(File::create(file).unwrap(), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

fn subject(format: &str) -> Subject {
    let extension = if format == "raw" { "img" } else { "qcow2" };
    Subject {
        base: "debian".into(),
        profile: "simple".into(),
        format: format.into(),
        row: format!("{format}-bios"),
        medium: "disk".into(),
        artifact: format!("rave-debian-simple.{extension}"),
        sha256: "9f2746755ef7d850580202d155398cbf0".chars().cycle().take(64).collect(),
        accelerator: "tcg".into(),
        firmware: "bios".into(),
        bus: "ahci".into(),
        nic: "e1000".into(),
        memory_mib: 4096,
        cpus: 2,
    }
}

fn rows(outcome: impl Fn(&str) -> Outcome) -> Vec<CheckResult> {
    let row = |(index, check): (usize, &rave_smoke::registry::Check)| {
        let outcome = outcome(check.name);
        let tried = !matches!(outcome, Outcome::NotRun(_));
        let last_answer = match (check.name, check.group) {
            _ if !tried => "",
            ("kanban-api" | "gateway-health", _) => {
                r#"200 application/json {"success":true,"data":"OK","error_data":null,"message":null}"#
            }
            ("clean-shutdown", _) => {
                "off after 18.2 s; rave-root: 26618/1040384 files (0.1% non-contiguous), 469184/4183547 blocks"
            }
            ("reboot", _) => "ready 148.7 s after the request",
            (_, Group::Web) => {
                "200 text/html; charset=utf-8 <!DOCTYPE html><html lang=\"en\"><head><meta charset=\"UTF-8\"/>"
            }
            (_, Group::Tools) => "2.1.197 (Claude Code)",
            _ => "accepted",
        };
        CheckResult {
            name: check.name.into(),
            group: check.group.name().into(),
            title: check.title.into(),
            outcome,
            seconds: if tried { f64::from(u32::try_from(index * index % 97).unwrap()) / 7.0 } else { 0.0 },
            attempts: if !tried {
                0
            } else if index % 9 == 6 {
                31
            } else {
                1
            },
            last_answer: last_answer.into(),
        }
    };
    CHECKS.iter().enumerate().map(row).collect()
}

fn screenshot(format: &str, slug: &str, taken: ScreenshotTrigger) -> Screenshot {
    let (width, height) = PICTURE;
    Screenshot { file: format!("simple-{format}-{slug}.png"), taken, width, height }
}

fn serial(format: &str) -> SerialLog {
    let tail = ["[  OK  ] Reached target multi-user.target", "rave login:"].map(str::to_owned).to_vec();
    SerialLog { file: format!("smoke-simple-{format}.serial.log"), tail }
}
