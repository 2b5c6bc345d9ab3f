//! Guests made to hang in each stage, and the resulting reports.

use std::time::Duration;

use rave_guest::protocol::GuestStage;
use rave_vm::boot::{BootFailure, BootStage, Cause};
use rave_vm::machine::Machine;
use rave_vm::{Error, Instance};

use crate::guest::{Bench, sector_that_prints};

/// The longest that a guest may take to get to where it hangs, on a loaded machine, seconds.
const PATIENCE: u64 = 120;

fn failure(instance: &mut Instance, seconds: u64) -> BootFailure {
    match instance.wait_ready(Duration::from_secs(seconds), &mut |_| {}) {
        Err(Error::Boot(failure)) => *failure,
        other => panic!("expected a guest that hangs, found {other:?}"),
    }
}

/// Boots the machine, waits second by second until it hangs in `stage` with a report that contains `words`, and checks
/// that it still hangs there a second later.
fn hangs_in(bench: &Bench, machine: Machine, stage: BootStage, words: &str) -> BootFailure {
    let mut instance = bench.boot(machine).unwrap();
    for seconds in 1..PATIENCE {
        let earlier = failure(&mut instance, seconds);
        if earlier.stage != stage || !earlier.to_string().contains(words) {
            assert!(matches!(earlier.cause, Cause::Timeout { .. }), "{earlier}");
            continue;
        }
        let failure = failure(&mut instance, seconds + 1);
        assert_eq!(failure.stage, stage, "{failure}");
        assert_eq!(failure.cause, Cause::Timeout { after: Duration::from_secs(seconds + 1) }, "{failure}");
        instance.kill().unwrap();
        return failure;
    }
    panic!("it did not reach {stage}: {}", failure(&mut instance, PATIENCE));
}

/// Boots the machine and waits until there is no point in waiting longer.
fn gives_up(bench: &Bench, machine: Machine) -> BootFailure {
    let mut instance = bench.boot(machine).unwrap();
    let failure = failure(&mut instance, PATIENCE);
    instance.kill().unwrap();
    failure
}

#[test]
fn a_disk_without_boot_code_stops_in_the_firmware() {
    let bench = Bench::new();
    let failure = gives_up(&bench, bench.with_disk(&[]));
    assert_eq!(failure.stage, BootStage::Firmware);
    assert_eq!(failure.cause, Cause::GaveUp { message: "No bootable device.".into() });
    assert!(failure.remedy().contains("--firmware"), "{failure}");
}

#[test]
fn a_boot_loader_that_hangs_after_its_marker() {
    let bench = Bench::new();
    let machine = bench.with_disk(&sector_that_prints("rave: boot loader\r\n"));
    let failure = hangs_in(&bench, machine, BootStage::BootLoader, "the boot loader's marker was seen");
    assert_eq!(failure.serial_tail, ["rave: boot loader"]);
}

#[test]
fn a_silent_boot_loader() {
    let bench = Bench::new();
    let failure = hangs_in(
        &bench,
        bench.with_disk(&sector_that_prints("")),
        BootStage::BootLoader,
        "which printed nothing",
    );
    // Without serial output, the firmware's log is shown.
    assert_eq!(failure.serial_tail.last().unwrap(), "Booting from 0000:7c00");
}

#[test]
fn a_kernel_that_waits_for_its_root_device() {
    let bench = Bench::new();
    let mut machine = bench.linux("", "root=/dev/vdz rootwait");
    machine.kernel.as_mut().unwrap().initrd = None;
    hangs_in(&bench, machine, BootStage::Kernel, "Waiting for root device /dev/vdz");
}

#[test]
fn a_kernel_that_panics_is_not_waited_for() {
    let bench = Bench::new();
    // `panic=0`: it must be detected by its message, not by its reboot.
    let mut machine = bench.linux("", "root=/dev/vdz panic=0");
    machine.kernel.as_mut().unwrap().initrd = None;
    let failure = gives_up(&bench, machine);
    assert_eq!(failure.stage, BootStage::Kernel);
    let Cause::Panicked { message } = &failure.cause else { panic!("{failure}") };
    assert!(message.contains("Unable to mount root fs"), "{failure}");
}

#[test]
fn an_initrd_that_hangs() {
    let bench = Bench::new();
    hangs_in(&bench, bench.linux("echo asleep; hang", ""), BootStage::Initrd, "asleep");
}

#[test]
fn an_initrd_that_prompts() {
    let bench = Bench::new();
    let script = "echo 'ALERT!  UUID=1 does not exist.  Dropping to a shell!'";
    let failure = gives_up(&bench, bench.linux(script, ""));
    assert_eq!(failure.stage, BootStage::Initrd);
    assert!(
        matches!(&failure.cause, Cause::GaveUp { message } if message.starts_with("ALERT!")),
        "{failure}"
    );
}

#[test]
fn a_userspace_that_never_starts_raves_units() {
    let bench = Bench::new();
    hangs_in(
        &bench,
        bench.linux("echo 'Welcome to a test!'", ""),
        BootStage::Userspace,
        "Welcome to a test!",
    );
}

/// An init that has passed every stage before `stage`, and reports what it waits for.
fn waits_for(stage: GuestStage, detail: &str) -> String {
    let before = GuestStage::ALL.into_iter().filter(|before| *before < stage);
    let before = before.map(|before| format!("event {before} ok ''\n")).collect::<Vec<_>>().concat();
    format!("ports\n{before}event {stage} waiting '{detail}'\n")
}

#[test]
fn a_network_that_gives_no_address() {
    let bench = Bench::new();
    let script = waits_for(GuestStage::Network, "no address on enp0s3");
    hangs_in(&bench, bench.linux(&script, ""), BootStage::Network, "network waits: no address on enp0s3");
}

#[test]
fn an_ssh_server_that_does_not_listen() {
    let bench = Bench::new();
    let script = waits_for(GuestStage::Sshd, "ssh.service is inactive");
    hangs_in(&bench, bench.linux(&script, ""), BootStage::Sshd, "sshd waits: ssh.service is inactive");
}

#[test]
fn a_unit_that_does_not_start_is_named() {
    let bench = Bench::new();
    let script = waits_for(GuestStage::Kanban, "vibe-kanban.service is activating (auto-restart)");
    let stage = BootStage::Service(GuestStage::Kanban);
    hangs_in(&bench, bench.linux(&script, ""), stage, "kanban waits: vibe-kanban.service is activating");
}

#[test]
fn a_failed_unit_is_not_waited_for() {
    let bench = Bench::new();
    let waiting = waits_for(GuestStage::Tools, "");
    let script = format!("{waiting}event router failed 'claude-code-router.service failed'\n");
    let failure = gives_up(&bench, bench.linux(&script, ""));
    assert_eq!(failure.stage, BootStage::Service(GuestStage::Router));
    assert!(failure.to_string().contains("claude-code-router.service failed"), "{failure}");
}
