//! Reports for unit tests.

use std::time::{Duration, SystemTime};

use rave_vm::boot;

use super::*;
use crate::registry::CHECKS;

pub(crate) fn report(runs: Vec<Run>) -> Report {
    let host = Host {
        system: "linux x86_64".into(),
        cpus: 2,
        qemu: "10.0.2".into(),
        accelerator: "tcg".into(),
        accelerator_reason: "software emulation works".into(),
    };
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_520_426);
    Report::new(host, started, Duration::from_micros(312_345_678), Vec::new(), runs, None)
}

pub(crate) fn run(outcomes: &[Outcome]) -> Run {
    let row = |(outcome, check): (&Outcome, &crate::registry::Check)| {
        CheckResult::new(check, outcome.clone(), Duration::from_millis(1500))
    };
    let stages = vec![StageTime { stage: "sshd".into(), at: 5.0 }];
    Run {
        subject: Subject {
            base: "debian".into(),
            profile: "headless".into(),
            format: "qemu".into(),
            row: "qemu-bios".into(),
            medium: "disk".into(),
            artifact: "a.qcow2".into(),
            sha256: "00".repeat(32),
            accelerator: "tcg".into(),
            firmware: "bios".into(),
            bus: "ahci".into(),
            nic: "e1000".into(),
            memory_mib: 4096,
            cpus: 2,
        },
        seconds: 60.0,
        boot: Boot::Ready(BootTimes {
            firmware: 0.5,
            loader: 1.0,
            kernel_initrd: 2.0,
            userspace: 3.0,
            ready: 6.5,
            stages,
        }),
        rows: outcomes.iter().zip(CHECKS).map(row).collect(),
        screenshots: Vec::new(),
        warnings: Vec::new(),
        serial: Some(SerialLog { file: "serial.log".into(), tail: vec!["rave login:".into()] }),
    }
}

/// One row with each outcome.
pub(crate) fn mixed() -> Run {
    run(&[
        Outcome::Passed,
        Outcome::Failed("<down> & \"out\"\u{1b}[0m".into()),
        Outcome::Error("no ssh".into()),
        Outcome::NotRun("the guest is gone".into()),
    ])
}

pub(crate) fn failed_boot() -> Run {
    let failure = boot::BootFailure {
        stage: boot::BootStage::Initrd,
        evidence: "the kernel's start of its first program was seen".into(),
        cause: boot::Cause::Timeout { after: Duration::from_secs(300) },
        serial_tail: Vec::new(),
    };
    let reached = [
        (boot::BootStage::Firmware, Duration::from_millis(50)),
        (boot::BootStage::Initrd, Duration::from_secs(8)),
    ];
    let not_run = Outcome::NotRun("the guest did not become ready".into());
    Run {
        boot: Boot::Failed(BootFailure::new(&failure, &reached, Duration::from_secs(300))),
        ..run(&[not_run.clone(), not_run.clone(), not_run.clone(), not_run])
    }
}
