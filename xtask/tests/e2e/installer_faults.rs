//! The ISO's installer under faults. These tests take minutes: `cargo xtask test matrix` runs them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_spec::Format;
use rave_vm::Instance;
use rave_vm::machine::{DiskFormat, ExtraDisk, Interface};
use rave_vm::ssh::Ssh;

use crate::fixture::{Fixture, output_of};
use crate::tool::{DEADLINE, HEADLESS, wait_until};

const MIB: u64 = 1 << 20;

/// A sparse raw disk of this size.
fn disk(folder: &Utf8Path, name: &str, mib: u64, interface: Interface, read_only: bool) -> ExtraDisk {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(mib * MIB).unwrap();
    ExtraDisk { path, format: DiskFormat::Raw, interface, read_only }
}

/// Runs the installer in a live session with these answers; returns its exit code and output.
fn install(ssh: &Ssh, answers: &str) -> (i32, String) {
    let command = format!(
        "printf '%b' '{answers}' > /tmp/answers && \
         sudo -n /usr/lib/rave/rave-guest install --answers /tmp/answers 2>&1"
    );
    let output = ssh.exec(&command, DEADLINE).unwrap();
    (output.status.shell_code(), output.text())
}

#[track_caller]
fn refused(ssh: &Ssh, answers: &str, why: &str) {
    let (code, text) = install(ssh, answers);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(why), "no {why:?} in:\n{text}");
    assert!(!text.contains("checking the medium"), "it is refused at once:\n{text}");
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn an_invalid_target_disk_is_refused_and_a_lost_one_is_named() {
    let mut fixture = Fixture::of(HEADLESS, Format::Iso);
    let folder = fixture.folder();
    fixture.sandbox.machine.more_disks = vec![
        disk(&folder, "small", 512, Interface::Virtio, false),
        disk(&folder, "locked", 6144, Interface::Virtio, true),
        disk(&folder, "used", 6144, Interface::Virtio, false),
        disk(&folder, "busy", 6144, Interface::Nvme, false),
        disk(&folder, "frail", 6144, Interface::Ahci, false),
    ];
    let (instance, _ready, ssh) = fixture.ready();
    refused(&ssh, "install=/dev/vda", "/dev/vda has 512 MiB, and ");
    refused(&ssh, "install=/dev/vdb", "/dev/vdb is read-only");
    refused(&ssh, "install=auto", "there are several disks: ");
    refused(&ssh, "install=/dev/sr0", "/dev/sr0 is not a disk of this machine that RAVE can be installed to");
    output_of(&ssh, "sudo -n mkfs.ext4 -q /dev/nvme0n1 && sudo -n mount /dev/nvme0n1 /mnt");
    refused(&ssh, "install=/dev/nvme0n1", "/dev/nvme0n1 is in use");
    output_of(&ssh, "echo precious | sudo -n dd of=/dev/vdc conv=fsync status=none");
    for given in ["", "\\nerase=yes", "\\nerase-disk=/dev/vdc", "\\nerase=yes\\nerase-disk=/dev/vda"] {
        refused(&ssh, &format!("install=/dev/vdc{given}"), "there is data on /dev/vdc");
    }
    refused(&ssh, "install=/dev/sda\\nuser=sudo", "sudo is an account of the system itself");

    // The dialogue repeats a question after an invalid answer, and nothing is written before all answers are given.
    let typed = "none\\n2\\nno_host\\nbox\\nroot\\nme\\n";
    let asked =
        ssh.exec(&format!("printf '{typed}' | sudo -n /usr/lib/rave/rave-guest install 2>&1"), DEADLINE);
    let asked = asked.unwrap().text();
    for expected in [
        "there is no disk \"none\"",
        "\"no_host\" is not a host name",
        "User [agent]: root is an account of the system itself",
        "Password of me [as in the image]",
        "the console",
    ] {
        assert!(asked.contains(expected), "no {expected:?} in:\n{asked}");
    }
    assert!(!asked.contains("checking the medium"), "{asked}");
    let used = fs::read(folder.join("used")).unwrap();
    assert!(used.starts_with(b"precious\n") && used[9..].iter().all(|byte| *byte == 0));

    // The disk is removed when part of it is written.
    output_of(
        &ssh,
        "printf 'install=/dev/sda' > /tmp/answers; sudo -n sh -c 'nohup /usr/lib/rave/rave-guest install \
         --answers /tmp/answers > /tmp/log 2>&1; echo \"code $?\" >> /tmp/log' > /dev/null 2>&1 &",
    );
    let log = || output_of(&ssh, "cat /tmp/log");
    wait_until("some of the disk is written", || log().contains(" %  "));
    output_of(&ssh, "echo 1 | sudo -n tee /sys/block/sda/device/delete");
    wait_until("the installer has ended", || log().contains("code "));
    let text = log();
    assert!(text.contains("writing /dev/sda failed near MiB ") && text.contains("code 1"), "{text}");
    assert!(text.contains("it is not bootable"), "{text}");
    instance.kill().unwrap();
}

/// A medium with answers that install to the only disk.
fn answers(folder: &Utf8Path) -> ExtraDisk {
    let (file, image) = (folder.join("rave-setup.conf"), folder.join("setup.img"));
    fs::write(&file, "rave.install=auto\nrave.then=poweroff\n").unwrap();
    Cmd::new("mkfs.vfat").args(["-n", "RAVE_SETUP", "-C", image.as_str(), "1440"]).output().unwrap();
    Cmd::new("mcopy").args(["-i", image.as_str(), file.as_str(), "::/"]).output().unwrap();
    ExtraDisk { path: image, format: DiskFormat::Raw, interface: Interface::Virtio, read_only: true }
}

/// A copy of the ISO with one byte of its squashfs changed, in the middle.
fn damaged(iso: &Utf8Path, folder: &Utf8Path) -> Utf8PathBuf {
    let copy = folder.join("damaged.iso");
    Cmd::new("cp").args(["--sparse=always", iso.as_str(), copy.as_str()]).output().unwrap();
    let file = File::options().read(true).write(true).open(&copy).unwrap();
    let size = file.metadata().unwrap().len();
    // The superblock is at the start of a sector of the ISO and has the size at offset 40 (Linux's squashfs_fs.h,
    // `squashfs_super_block`).
    let mut head = [0; 48];
    let start = (0..size / 2048)
        .map(|sector| sector * 2048)
        .find(|at| file.read_exact_at(&mut head, *at).is_ok() && head.starts_with(b"hsqs"));
    let used = u64::from_le_bytes(head[40..48].try_into().unwrap());
    let middle = start.unwrap() + used / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    copy
}

/// Waits until the console contains the text; returns its content.
#[track_caller]
fn console(instance: &mut Instance, text: &str) -> String {
    let started = Instant::now();
    let log = instance.machine().files.serial_log.clone();
    loop {
        let seen = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        if seen.contains(text) {
            return seen;
        }
        let gone = instance.ended().unwrap().is_some();
        assert!(!gone && started.elapsed() < DEADLINE, "no {text:?} on the console:\n{seen}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn an_installation_restarts_after_a_power_cut_and_a_damaged_medium_writes_nothing() {
    const MARK: &[u8] = b"RAVE: an installation to this disk began and did not end";
    let mut fixture = Fixture::of(HEADLESS, Format::Iso);
    let folder = fixture.folder();
    let target = disk(&folder, "target", 6144, Interface::Virtio, false);
    let path = target.path.clone();
    let head = || {
        let mut head = vec![0; 512];
        File::open(&path).unwrap().read_exact_at(&mut head, 0).unwrap();
        head
    };
    fixture.sandbox.machine.more_disks = vec![target, answers(&folder)];
    let iso = fixture.sandbox.machine.disk.clone().unwrap().path;

    let mut cut = fixture.boot();
    console(&mut cut, " 25 %  ");
    cut.kill().unwrap();
    assert!(head().starts_with(MARK), "it is marked as unfinished and not bootable");

    let damaged = damaged(&iso, &folder);
    fixture.sandbox.machine.disk.as_mut().unwrap().path = damaged;
    let mut instance = fixture.boot();
    let seen = console(&mut instance, "the medium is damaged: rave/disk.squashfs has the SHA-256 ");
    instance.kill().unwrap();
    assert!(seen.contains("nothing was written to /dev/vda"), "{seen}");
    assert!(!seen.contains("writing /dev/vda"), "{seen}");
    assert!(head().starts_with(MARK));

    fixture.sandbox.machine.disk.as_mut().unwrap().path = iso;
    let mut instance = fixture.boot();
    let seen = console(&mut instance, "RAVE is installed on /dev/vda");
    assert!(seen.contains("an earlier installation to /dev/vda was not finished: starting over"), "{seen}");
    wait_until("it powers itself off", || instance.ended().unwrap().is_some());
    assert_eq!(head()[510..], [0x55, 0xaa], "the disk is bootable");
}
