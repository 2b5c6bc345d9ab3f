//! The life of a machine: it becomes ready, and is ended in each way, detached, or killed.

use std::fs;
use std::time::{Duration, Instant};

use rave_guest::protocol::GuestStage;
use rave_process::{Cmd, Status, shell_quote};
use rave_vm::accel::Engine;
use rave_vm::boot::{BootStage, Cause};
use rave_vm::machine::{Firmware, Machine};
use rave_vm::qemu::Qemu;
use rave_vm::run_dir::{InstanceRecord, sweep};
use rave_vm::standalone::Standalone;
use rave_vm::{BootEvent, Error, Instance, Shutdown};

use crate::guest::{Bench, sector_that_prints};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

fn all_ok() -> String {
    GuestStage::ALL.map(|stage| format!("event {stage} ok ''\n")).concat()
}

pub(crate) fn kill(pid: u32) {
    Cmd::new("kill").args(["-KILL", &pid.to_string()]).output().unwrap();
}

#[test]
fn a_guest_reports_when_it_is_ready_and_shuts_down() {
    let bench = Bench::new();
    let script = format!("ports\n{}$b poweroff -f\n", all_ok());
    let mut instance = bench.boot(bench.linux(&script, "")).unwrap();
    let mut seen = Vec::new();
    let ready = instance
        .wait_ready(PATIENCE, &mut |event| {
            if let BootEvent::Guest(event) = event {
                seen.push(event.stage);
            }
        })
        .unwrap();
    assert_eq!(seen, GuestStage::ALL);
    let timeline = &ready.timeline;
    let sum = timeline.firmware + timeline.loader + timeline.kernel_initrd + timeline.userspace;
    assert_eq!(sum, timeline.ready);
    assert!(timeline.kernel_initrd > Duration::ZERO && timeline.ready < PATIENCE, "{timeline:?}");
    assert_eq!(ready.boot_id.len(), 36);
    let run_dir = instance.machine().files.run_dir.clone();
    // The guest may power off before we ask it to.
    let how = instance.shutdown(PATIENCE).unwrap();
    assert!(matches!(how, Shutdown::Before(Status::Code(0)) | Shutdown::PoweredOff { .. }), "{how:?}");
    assert!(!run_dir.exists());
}

#[test]
fn a_guest_that_ignores_the_power_button_is_stopped_through_qemu() {
    let bench = Bench::new();
    let instance = bench.boot(bench.with_disk(&sector_that_prints("x"))).unwrap();
    assert_eq!(instance.shutdown(Duration::from_millis(300)).unwrap(), Shutdown::Quit);
}

#[test]
fn a_killed_qemu_is_detected_immediately() {
    let bench = Bench::new();
    let mut instance = bench.boot(bench.with_disk(&sector_that_prints("rave: boot loader\n"))).unwrap();
    kill(instance.pid());
    let started = Instant::now();
    let Err(Error::Boot(failure)) = instance.wait_ready(PATIENCE, &mut |_| {}) else {
        panic!("it was killed")
    };
    assert!(matches!(failure.cause, Cause::QemuDied { status: Status::Signal(9), .. }), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(instance.shutdown(PATIENCE).unwrap(), Shutdown::Before(Status::Signal(9)));
}

/// A QEMU whose first `crashes` runs abort like QEMU's emulation does, once the file `go` exists.
fn crashing(bench: &Bench, crashes: u32) -> Qemu {
    let script = bench.folder.join("crashing");
    let program = shell_quote(bench.qemu.program.as_str());
    let text = format!(
        "#!/bin/sh\ncd {} && echo run >> runs\n[ $(wc -l < runs) -le {crashes} ] || exec {program} \"$@\"\n\
         {program} \"$@\" & qemu=$!\nuntil rm go 2> /dev/null; do sleep 0.02; done\nkill -KILL $qemu; wait $qemu\n\
         echo 'physmem.c:2678: iotlb_to_section: Assertion `section_index < d->map.sections_nb'\\'' failed.' >&2\n\
         kill -ABRT $$\n",
        shell_quote(bench.folder.as_str())
    );
    fs::write(&script, text).unwrap();
    Cmd::new("chmod").args(["+x", script.as_str()]).output().unwrap();
    Qemu { program: script, version: bench.qemu.version, fencer: None }
}

#[test]
fn a_qemu_that_loses_its_startup_race_is_restarted_a_limited_number_of_times() {
    for (crashes, starts) in [(1, vec![2]), (9, vec![2, 3])] {
        let bench = Bench::new();
        let machine = bench.linux(&format!("ports\n{}$b poweroff -f\n", all_ok()), "");
        let qemu = crashing(&bench, crashes);
        let mut instance = Instance::boot(machine, Engine::Tcg, &qemu).unwrap();
        let mut seen = Vec::new();
        let result = instance.wait_ready(PATIENCE, &mut |event| match event {
            BootEvent::Restarted { attempt, .. } => seen.push(attempt),
            // The control socket of this start has answered.
            BootEvent::Reached { stage: BootStage::Firmware, .. } => {
                fs::write(bench.folder.join("go"), "").unwrap();
            }
            _ => {}
        });
        assert_eq!(seen, starts);
        match result {
            Ok(_) => assert_eq!(crashes, 1),
            Err(Error::Boot(failure)) => {
                assert!(
                    matches!(failure.cause, Cause::QemuDied { status: Status::Signal(6), .. }),
                    "{failure}"
                );
                assert_eq!(crashes, 9);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// A QEMU whose first run has an additional processor, by which its guest recognises the first run.
fn first_with_two_processors(bench: &Bench) -> Qemu {
    let script = bench.folder.join("first-with-two");
    let text = format!(
        "#!/bin/sh\nmkdir {} 2> /dev/null && set -- \"$@\" -smp cpus=2\nexec {} \"$@\"\n",
        shell_quote(bench.folder.join("ran").as_str()),
        shell_quote(bench.qemu.program.as_str())
    );
    fs::write(&script, text).unwrap();
    Cmd::new("chmod").args(["+x", script.as_str()]).output().unwrap();
    Qemu { program: script, version: bench.qemu.version, fencer: None }
}

/// A guest whose first run loses a timer and hangs, and whose next run becomes ready.
fn losing_a_timer(bench: &Bench) -> Machine {
    let script = format!(
        "if [ $($b grep -c ^processor /proc/cpuinfo) = 2 ]; then\n\
         echo 'rcu:  Possible timer handling issue on cpu=1 timer-softirq=5'; hang\nfi\n\
         ports\n{}$b poweroff -f\n",
        all_ok()
    );
    bench.linux(&script, "")
}

#[test]
fn a_standalone_machine_reports_a_lost_timer() {
    let bench = Bench::new();
    let qemu = first_with_two_processors(&bench);
    let mut machine = Standalone::start(losing_a_timer(&bench), Engine::Tcg, &qemu).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !machine.has_lost_timer() {
        let progress = machine.poll().unwrap();
        assert!(Instant::now() < deadline, "{progress:?}");
        assert!(!machine.has_ended(Duration::from_millis(50)), "{:?}", machine.last_output());
    }
    machine.end(PATIENCE);
    assert!(machine.may_restart());

    let mut machine = Standalone::start(machine.machine().clone(), Engine::Tcg, &qemu).unwrap();
    assert!(machine.has_ended(PATIENCE), "{:?}", machine.poll());
    machine.poll().unwrap();
    assert!(!machine.has_lost_timer() && !machine.may_restart());
}

#[test]
fn a_guest_with_a_lost_timer_is_restarted() {
    let bench = Bench::new();
    let machine = losing_a_timer(&bench);
    let mut instance = Instance::boot(machine, Engine::Tcg, &first_with_two_processors(&bench)).unwrap();
    let mut seen = Vec::new();
    instance
        .wait_ready(PATIENCE, &mut |event| {
            if let BootEvent::Restarted { cause, attempt } = event {
                assert!(matches!(cause, Cause::LostTimer { .. }), "{cause}");
                seen.push(attempt);
            }
        })
        .unwrap();
    assert_eq!(seen, [2]);
}

#[test]
fn a_qemu_that_exits_immediately_is_reported_with_output_and_command() {
    let bench = Bench::new();
    let vars_template = bench.folder.join("vars");
    fs::write(&vars_template, "").unwrap();
    let firmware = Firmware::Uefi { code: bench.folder.join("no-such-code"), vars_template };
    let machine = Machine { firmware, ..bench.machine("dies") };
    let error = bench.boot(machine).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::QemuDied { .. }), "{text}");
    assert!(text.contains("no-such-code") && text.contains("-nodefaults"), "{text}");
    assert!(!bench.folder.join("dies").exists(), "nothing runs in it");
}

#[test]
fn two_machines_run_in_parallel_and_a_name_runs_only_once() {
    let bench = Bench::new();
    let sector = sector_that_prints("x");
    let first = bench.boot(bench.with_disk(&sector)).unwrap();
    let again = bench.boot(bench.with_disk(&sector)).unwrap_err();
    assert!(matches!(again, Error::AlreadyRunning { pid: Some(pid), .. } if pid == first.pid()), "{again}");
    let second = bench.boot(bench.machine("other")).unwrap();
    assert_ne!(first.pid(), second.pid());
    second.kill().unwrap();
    first.kill().unwrap();
}

#[test]
fn a_detached_machine_runs_until_it_is_stopped_and_is_then_swept() {
    let bench = Bench::new();
    let instance = bench.boot(bench.machine("alone")).unwrap();
    let run_dir = instance.machine().files.run_dir.clone();
    let detached = instance.detach().unwrap();
    assert_eq!(InstanceRecord::running(&run_dir).map(|record| record.pid), Some(detached.pid));
    sweep(&bench.folder).unwrap();
    assert!(run_dir.exists(), "it still runs");
    let taken = bench.boot(bench.machine("alone")).unwrap_err();
    assert!(matches!(taken, Error::AlreadyRunning { .. }), "{taken}");

    kill(detached.pid);
    let deadline = Instant::now() + PATIENCE;
    while InstanceRecord::running(&run_dir).is_some() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    sweep(&bench.folder).unwrap();
    assert!(!run_dir.exists());
}

#[test]
fn a_leftover_folder_does_not_block_a_start() {
    let bench = Bench::new();
    let instance = bench.boot(bench.machine("again")).unwrap();
    drop(instance); // as when the tool is killed: QEMU dies, the folder stays
    bench.boot(bench.machine("again")).unwrap().kill().unwrap();
}

#[test]
fn a_path_with_spaces_commas_and_percent_signs_boots() {
    let mut bench = Bench::new();
    bench.folder = bench.folder.join("my work, 100% done");
    fs::create_dir(&bench.folder).unwrap();
    let mut machine = bench.with_disk(&sector_that_prints("rave: boot loader\n"));
    machine.overlay = rave_vm::machine::Overlay::Throwaway;
    let mut instance = bench.boot(machine).unwrap();
    let Err(Error::Boot(failure)) = instance.wait_ready(Duration::from_secs(3), &mut |_| {}) else {
        panic!("ready")
    };
    assert_eq!(failure.serial_tail, ["rave: boot loader"], "{failure}");
    instance.kill().unwrap();
}

#[test]
fn the_version_of_the_real_qemu_is_parsed() {
    let bench = Bench::new();
    assert_eq!(Qemu::at(&bench.qemu.program).unwrap(), bench.qemu);
}
