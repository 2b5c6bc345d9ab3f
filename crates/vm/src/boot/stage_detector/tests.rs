use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn line(of: GuestStage, state: StageState, boot_id: &str) -> String {
    let detail = format!("{of} detail");
    GuestEvent { stage: of, state, detail, uptime_ms: 1, boot_id: boot_id.into(), host_keys: Vec::new() }
        .to_line()
}

/// A guest that has reported `ok` for every stage before `stage`.
fn up_to(stage: GuestStage) -> StageDetector {
    let mut detector = StageDetector::default();
    for before in GuestStage::ALL.into_iter().filter(|before| *before < stage) {
        detector.ready(line(before, StageState::Ok, "a").as_bytes(), at(1));
    }
    detector
}

#[test]
fn each_serial_marker_advances_the_stage() {
    let mut detector = StageDetector::default();
    assert_eq!(detector.stage(), BootStage::Firmware);
    for (seconds, text, stage) in [
        (1, "BdsDxe: loading Boot0001\r\n", BootStage::Firmware),
        (2, "\x1b[H\x1b[Jrave: boot loader\r\n", BootStage::BootLoader),
        (3, "[    0.000000] Linux version 6.12.95 (debian)\r\n", BootStage::Kernel),
        (4, "[    2.1] Run /init as init process\r\n", BootStage::Initrd),
        (5, "Begin: Mounting root file system ... \r\n", BootStage::Initrd),
        (6, "Welcome to \x1b[1mDebian GNU/Linux 13 (trixie)\x1b[0m!\r\n", BootStage::Userspace),
    ] {
        detector.serial(text.as_bytes(), at(seconds));
        assert_eq!(detector.stage(), stage, "{text}");
    }
    let timeline = detector.timeline(at(10));
    assert_eq!(
        [timeline.firmware, timeline.loader, timeline.kernel_initrd, timeline.userspace],
        [at(2), at(1), at(3), at(4)]
    );
}

#[test]
fn grubs_greeting_is_not_userspace() {
    let mut detector = StageDetector::default();
    detector.serial(b"Welcome to GRUB!\r\n", at(1));
    assert_eq!(detector.stage(), BootStage::Firmware);
}

#[test]
fn a_silent_boot_loader_is_distinguished_from_a_missing_one() {
    let mut silent = StageDetector::default();
    silent.firmware(b"Booting from Hard Disk...\nBooting from 0000:7c00\n", at(1));
    assert_eq!((silent.stage(), silent.dead_end()), (BootStage::BootLoader, None));
    assert_eq!(silent.timeline(at(9)).firmware, at(1));
    let mut none = StageDetector::default();
    none.firmware(
        b"Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nNo bootable device.\n",
        at(1),
    );
    assert_eq!(none.stage(), BootStage::Firmware);
    assert_eq!(none.dead_end(), Some(&DeadEnd::GaveUp("No bootable device.".into())));
    assert!(none.last_lines().contains(&"Boot failed: not a bootable disk".to_owned()));
}

#[test]
fn a_disk_that_uefi_cannot_start_hangs_in_the_firmware() {
    let mut detector = StageDetector::default();
    detector.serial(b"BdsDxe: starting Boot0001 \"UEFI Misc Device\"\n", at(1));
    assert_eq!(detector.stage(), BootStage::BootLoader);
    detector.serial(
        b"BdsDxe: failed to start Boot0001\nBdsDxe: No bootable option or device was found.\n",
        at(2),
    );
    assert_eq!(detector.stage(), BootStage::Firmware);
    assert!(matches!(detector.dead_end(), Some(DeadEnd::GaveUp(_))));
}

#[test]
fn panics_and_prompts_end_the_wait_for_boot() {
    let mut panic = StageDetector::default();
    panic.serial(b"Linux version 6\nKernel panic - not syncing: VFS: Unable to mount root fs\n", at(1));
    assert!(matches!(panic.dead_end(), Some(DeadEnd::Panic(line)) if line.contains("Unable to mount root")));
    assert_eq!(panic.stage(), BootStage::Kernel);
    let mut shell = StageDetector::default();
    shell.serial(b"Linux version 6\nRun /init as init process\n(initramfs) ", at(1));
    assert!(matches!(shell.dead_end(), Some(DeadEnd::GaveUp(_))));
    assert_eq!(shell.stage(), BootStage::Initrd);
}

#[test]
fn the_first_stage_of_the_guest_that_is_not_ok_hangs() {
    let mut detector = up_to(GuestStage::Network);
    detector.ready(line(GuestStage::Network, StageState::Waiting, "a").as_bytes(), at(2));
    detector.ready(line(GuestStage::Kanban, StageState::Waiting, "a").as_bytes(), at(2));
    // A later stage may well be reached first.
    detector.ready(line(GuestStage::Router, StageState::Ok, "a").as_bytes(), at(3));
    assert_eq!(detector.stage(), BootStage::Network);
    assert!(detector.reason().contains("network waits: network detail"), "{}", detector.reason());
    assert_eq!(up_to(GuestStage::Sshd).stage(), BootStage::Sshd);
    assert_eq!(up_to(GuestStage::Gateway).stage(), BootStage::Service(GuestStage::Gateway));
}

#[test]
fn a_failed_stage_is_named_before_waiting_ones() {
    let mut detector = up_to(GuestStage::Tools);
    detector.ready(line(GuestStage::Tools, StageState::Waiting, "a").as_bytes(), at(2));
    detector.ready(line(GuestStage::Router, StageState::Failed, "a").as_bytes(), at(2));
    assert_eq!(detector.stage(), BootStage::Service(GuestStage::Router));
    assert_eq!(detector.failed(GuestStage::Ready).unwrap().detail, "router detail");
    assert_eq!(detector.failed(GuestStage::Sshd), None, "sshd does not depend on the router");
}

#[test]
fn a_missing_network_stops_only_stages_that_need_it() {
    let mut detector = up_to(GuestStage::Tools);
    detector.ready(line(GuestStage::Network, StageState::Failed, "a").as_bytes(), at(2));
    assert_eq!(detector.failed(GuestStage::Ready), None);
    assert_eq!(detector.failed(GuestStage::Network).unwrap().detail, "network detail");
}

#[test]
fn events_of_an_earlier_boot_do_not_count() {
    let mut detector = StageDetector::after_boot(Some("old".into()));
    assert!(detector.ready(line(GuestStage::Ready, StageState::Ok, "old").as_bytes(), at(1)).is_empty());
    assert_eq!((detector.reached(GuestStage::Ready), detector.stage()), (None, BootStage::Firmware));
    detector.ready(line(GuestStage::Ready, StageState::Ok, "new").as_bytes(), at(2));
    assert_eq!(detector.reached(GuestStage::Ready), Some(at(2)));
}

#[test]
fn a_restarted_guest_is_not_ready_before_it_reports_that_again() {
    let mut boot = StageDetector::default();
    let mut send = |of, id: &str| {
        boot.ready(line(of, StageState::Ok, id).as_bytes(), at(1));
        boot.reached(GuestStage::Ready).is_some()
    };
    assert!(send(GuestStage::Ready, "one"));
    assert!(!send(GuestStage::Userspace, "two"));
    assert!(!send(GuestStage::Ready, "one"), "a late event of the boot before");
    assert!(send(GuestStage::Ready, "two"));

    boot.forget_boot();
    assert_eq!((boot.boot_id(), boot.stage()), (None, BootStage::Firmware));
    boot.ready(line(GuestStage::Ready, StageState::Ok, "two").as_bytes(), at(2));
    assert_eq!(boot.reached(GuestStage::Ready), None);
}

#[test]
fn a_services_receipt_counts_only_for_its_own_boot() {
    let mut boot = StageDetector::default();
    let mut send = |of, state, id: &str| {
        boot.ready(line(of, state, id).as_bytes(), at(1));
        boot.services()
    };
    assert!(send(GuestStage::Userspace, StageState::Ok, "one").is_empty());
    assert!(send(GuestStage::Router, StageState::Waiting, "one").is_empty());
    assert_eq!(send(GuestStage::Sshd, StageState::Ok, "one"), ["ssh"]);
    assert_eq!(send(GuestStage::Gateway, StageState::Ok, "one"), ["ssh", "gateway"]);
    assert!(send(GuestStage::Userspace, StageState::Ok, "two").is_empty(), "it was rebooted");
    assert_eq!(send(GuestStage::Kanban, StageState::Ok, "two"), ["kanban"]);
}

#[test]
fn events_are_parsed_once_from_pieces_and_noise() {
    let text = format!("\0noise{}\ngarbage\n", line(GuestStage::Sshd, StageState::Ok, "a").trim_end());
    let mut detector = StageDetector::default();
    let events: Vec<GuestEvent> =
        text.as_bytes().chunks(7).flat_map(|piece| detector.ready(piece, at(1))).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(detector.reached(GuestStage::Sshd), Some(at(1)));
}

proptest! {
    #[test]
    fn any_bytes_are_handled_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut detector = StageDetector::default();
        detector.firmware(&bytes, at(1));
        detector.serial(&bytes, at(1));
        detector.ready(&bytes, at(1));
        let _ = (detector.stage(), detector.reason(), detector.timeline(at(2)));
    }
}
