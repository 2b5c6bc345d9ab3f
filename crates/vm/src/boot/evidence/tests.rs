use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn line(of: GuestStage, state: State, boot_id: &str) -> String {
    let detail = format!("{of} detail");
    Event { stage: of, state, detail, uptime_ms: 1, boot_id: boot_id.into(), host_keys: Vec::new() }.to_line()
}

/// A guest that has said `ok` for every stage before `stage`.
fn up_to(stage: GuestStage) -> Evidence {
    let mut evidence = Evidence::default();
    for before in GuestStage::ALL.into_iter().filter(|before| *before < stage) {
        evidence.ready(line(before, State::Ok, "a").as_bytes(), at(1));
    }
    evidence
}

#[test]
fn each_mark_on_the_serial_port_moves_the_stage() {
    let mut evidence = Evidence::default();
    assert_eq!(evidence.stage(), Stage::Firmware);
    for (seconds, text, stage) in [
        (1, "BdsDxe: loading Boot0001\r\n", Stage::Firmware),
        (2, "\x1b[H\x1b[Jrave: boot loader\r\n", Stage::BootLoader),
        (3, "[    0.000000] Linux version 6.12.95 (debian)\r\n", Stage::Kernel),
        (4, "[    2.1] Run /init as init process\r\n", Stage::Initrd),
        (5, "Begin: Mounting root file system ... \r\n", Stage::Initrd),
        (6, "Welcome to \x1b[1mDebian GNU/Linux 13 (trixie)\x1b[0m!\r\n", Stage::Userspace),
    ] {
        evidence.serial(text.as_bytes(), at(seconds));
        assert_eq!(evidence.stage(), stage, "{text}");
    }
    let timeline = evidence.timeline(at(10));
    assert_eq!(
        [timeline.firmware, timeline.loader, timeline.kernel_initrd, timeline.userspace],
        [at(2), at(1), at(3), at(4)]
    );
}

#[test]
fn grubs_own_greeting_is_no_userspace() {
    let mut evidence = Evidence::default();
    evidence.serial(b"Welcome to GRUB!\r\n", at(1));
    assert_eq!(evidence.stage(), Stage::Firmware);
}

#[test]
fn the_firmwares_log_tells_a_silent_boot_loader_from_a_disk_without_one() {
    let mut silent = Evidence::default();
    silent.firmware(b"Booting from Hard Disk...\nBooting from 0000:7c00\n", at(1));
    assert_eq!((silent.stage(), silent.dead_end()), (Stage::BootLoader, None));
    assert_eq!(silent.timeline(at(9)).firmware, at(1));
    let mut none = Evidence::default();
    none.firmware(
        b"Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nNo bootable device.\n",
        at(1),
    );
    assert_eq!(none.stage(), Stage::Firmware);
    assert_eq!(none.dead_end(), Some(&DeadEnd::GaveUp("No bootable device.".into())));
    assert!(none.last_lines().contains(&"Boot failed: not a bootable disk".to_owned()));
}

#[test]
fn uefi_that_fails_to_start_the_disk_hangs_in_the_firmware() {
    let mut evidence = Evidence::default();
    evidence.serial(b"BdsDxe: starting Boot0001 \"UEFI Misc Device\"\n", at(1));
    assert_eq!(evidence.stage(), Stage::BootLoader);
    evidence.serial(
        b"BdsDxe: failed to start Boot0001\nBdsDxe: No bootable option or device was found.\n",
        at(2),
    );
    assert_eq!(evidence.stage(), Stage::Firmware);
    assert!(matches!(evidence.dead_end(), Some(DeadEnd::GaveUp(_))));
}

#[test]
fn panics_and_prompts_end_the_wait() {
    let mut panic = Evidence::default();
    panic.serial(b"Linux version 6\nKernel panic - not syncing: VFS: Unable to mount root fs\n", at(1));
    assert!(matches!(panic.dead_end(), Some(DeadEnd::Panic(line)) if line.contains("Unable to mount root")));
    assert_eq!(panic.stage(), Stage::Kernel);
    let mut shell = Evidence::default();
    shell.serial(b"Linux version 6\nRun /init as init process\n(initramfs) ", at(1));
    assert!(matches!(shell.dead_end(), Some(DeadEnd::GaveUp(_))));
    assert_eq!(shell.stage(), Stage::Initrd);
}

#[test]
fn the_guests_first_stage_that_is_not_ok_is_where_it_hangs() {
    let mut evidence = up_to(GuestStage::Network);
    evidence.ready(line(GuestStage::Network, State::Waiting, "a").as_bytes(), at(2));
    evidence.ready(line(GuestStage::Kanban, State::Waiting, "a").as_bytes(), at(2));
    // A later one may well come first.
    evidence.ready(line(GuestStage::Router, State::Ok, "a").as_bytes(), at(3));
    assert_eq!(evidence.stage(), Stage::Network);
    assert!(evidence.reason().contains("network waits: network detail"), "{}", evidence.reason());
    assert_eq!(up_to(GuestStage::Sshd).stage(), Stage::Sshd);
    assert_eq!(up_to(GuestStage::Gateway).stage(), Stage::Service(GuestStage::Gateway));
}

#[test]
fn a_failed_stage_is_named_before_those_that_only_wait() {
    let mut evidence = up_to(GuestStage::Tools);
    evidence.ready(line(GuestStage::Tools, State::Waiting, "a").as_bytes(), at(2));
    evidence.ready(line(GuestStage::Router, State::Failed, "a").as_bytes(), at(2));
    assert_eq!(evidence.stage(), Stage::Service(GuestStage::Router));
    assert_eq!(evidence.failed(GuestStage::Ready).unwrap().detail, "router detail");
    assert_eq!(evidence.failed(GuestStage::Sshd), None, "who waits for sshd does not care for the router");
}

#[test]
fn a_network_that_stays_away_stops_only_who_waits_for_it() {
    let mut evidence = up_to(GuestStage::Tools);
    evidence.ready(line(GuestStage::Network, State::Failed, "a").as_bytes(), at(2));
    assert_eq!(evidence.failed(GuestStage::Ready), None);
    assert_eq!(evidence.failed(GuestStage::Network).unwrap().detail, "network detail");
}

#[test]
fn events_of_the_boot_before_do_not_count() {
    let mut evidence = Evidence::after_boot(Some("old".into()));
    assert!(evidence.ready(line(GuestStage::Ready, State::Ok, "old").as_bytes(), at(1)).is_empty());
    assert_eq!((evidence.reached(GuestStage::Ready), evidence.stage()), (None, Stage::Firmware));
    evidence.ready(line(GuestStage::Ready, State::Ok, "new").as_bytes(), at(2));
    assert_eq!(evidence.reached(GuestStage::Ready), Some(at(2)));
}

#[test]
fn events_in_pieces_and_among_noise_are_read_once() {
    let text = format!("\0noise{}\ngarbage\n", line(GuestStage::Sshd, State::Ok, "a").trim_end());
    let mut evidence = Evidence::default();
    let events: Vec<Event> =
        text.as_bytes().chunks(7).flat_map(|piece| evidence.ready(piece, at(1))).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(evidence.reached(GuestStage::Sshd), Some(at(1)));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut evidence = Evidence::default();
        evidence.firmware(&bytes, at(1));
        evidence.serial(&bytes, at(1));
        evidence.ready(&bytes, at(1));
        let _ = (evidence.stage(), evidence.reason(), evidence.timeline(at(2)));
    }
}
