//! The disk of a Nix closure, and its ISO, on real firmware: the kernel and the initrd come from the shared image, and
//! the system is one static program. It needs no nix.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use camino::Utf8PathBuf;
use rave_image::closure::nar::NarHasher;
use rave_vm::Instance;
use rave_vm::accel::Engine;
use rave_vm::firmware::find_uefi;
use rave_vm::machine::{Arch, Disk, DiskFormat, Firmware, Interface, Machine, Overlay};
use rave_vm::qemu::Qemu;

use crate::command::Command;
use crate::tool::{HEADLESS, Place, finish, shared_cache, stages_of, wait_until};

const UUID: &str = "5a1d0c3e-7d3f-4b7e-9a51-7261766572ff";
const KERNEL: &str = "/nix/store/0000000000000000000000000000000a-linux";
const INITRD: &str = "/nix/store/0000000000000000000000000000000b-initrd";
const SYSTEM: &str = "/nix/store/0000000000000000000000000000000c-system";

/// Extracts a file from the shared image with debugfs(8).
fn dump(file: &str, to: &Path) {
    let stages = shared_cache(HEADLESS).join("stages");
    let disk = stages_of(HEADLESS).into_iter().find(|name| name.starts_with("disk-")).unwrap();
    let disk = stages.join(disk).join("disk.raw");
    let image = format!("{}?offset={}", disk.display(), rave_image::disk::layout::Layout::ROOT_START);
    let debugfs = |request: &str| {
        let output = Command::new("/usr/sbin/debugfs").args(["-R", request, &image]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // `Fast link dest: "boot/vmlinuz-6.12"`
    let about = debugfs(&format!("stat {file}"));
    let target =
        about.split_once("link dest: \"").and_then(|(_, rest)| rest.split('"').next().map(str::to_owned));
    let file = target.map_or(file.to_owned(), |target| format!("/{}", target.trim_start_matches('/')));
    debugfs(&format!("dump {file} {}", to.display()));
    assert!(fs::metadata(to).unwrap().len() > 0, "{file}");
}

/// A closure in a folder: the system's `init` is a program that prints how it was started.
fn closure(folder: &Path) -> PathBuf {
    let at = |path: &str| folder.join("store").join(path.strip_prefix("/nix/store/").unwrap());
    for path in [KERNEL, INITRD, SYSTEM] {
        fs::create_dir_all(at(path)).unwrap();
    }
    dump("/vmlinuz", &at(KERNEL).join("bzImage"));
    dump("/initrd.img", &at(INITRD).join("initrd"));
    dump("/usr/lib/rave/rave-guest", &at(SYSTEM).join("init"));
    fs::set_permissions(at(SYSTEM).join("init"), fs::Permissions::from_mode(0o555)).unwrap();
    symlink(format!("{KERNEL}/bzImage"), at(SYSTEM).join("kernel")).unwrap();
    symlink(format!("{INITRD}/initrd"), at(SYSTEM).join("initrd")).unwrap();
    let registration: String = [KERNEL, INITRD, SYSTEM].map(|path| registered(path, &at(path))).concat();
    fs::write(folder.join("registration"), registration).unwrap();
    at(SYSTEM)
}

/// The registration of a path whose folder contains only files and links.
fn registered(path: &str, folder: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut nar = NarHasher::default();
    nar.folder(b"");
    for name in names {
        let place = folder.join(&name);
        let name = name.as_encoded_bytes();
        if let Ok(target) = fs::read_link(&place) {
            nar.link(name, target.as_os_str().as_encoded_bytes());
        } else {
            let metadata = fs::metadata(&place).unwrap();
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let mut content = fs::File::open(&place).unwrap();
            nar.file(name, executable, metadata.len(), &mut content.by_ref()).unwrap();
        }
    }
    let (hash, size) = nar.finish();
    format!("{path}\nsha256:{hash}\n{size}\n\n0\n")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn disk(place: &Place) -> PathBuf {
    let folder = place.path("closure");
    let system = closure(&folder);
    let out = place.path("disk.raw");
    let arguments = format!("init={SYSTEM}/init root=UUID={UUID} ro console=ttyS0,115200 panic=-1");
    let mut command =
        place.xtask(&["disk-image", "--system", SYSTEM, "--root-uuid", UUID, "--arguments", &arguments]);
    for (flag, path) in [
        ("--registration", folder.join("registration")),
        ("--store", folder.join("store")),
        ("--kernel", system.join("kernel")),
        ("--initrd", system.join("initrd")),
        ("--out", out.clone()),
    ] {
        command.args([flag, text(&path)]);
    }
    finish(&command).expect_code(0);
    out
}

/// The ISO of that disk: the initrd is Debian's, whose own scripts make the root file system writable.
fn iso(place: &Place, disk: &Path) -> PathBuf {
    let store = place.path("closure/store");
    let file = |path: &str, name: &str| store.join(path.strip_prefix("/nix/store/").unwrap()).join(name);
    let out = place.path("live.iso");
    let arguments = format!("init={SYSTEM}/init ro console=ttyS0,115200 panic=-1");
    let mut command = place.xtask(&["iso-image", "--arguments", &arguments, "--disk", text(disk)]);
    command.args(["--kernel", text(&file(KERNEL, "bzImage")), "--initrd", text(&file(INITRD, "initrd"))]);
    finish(command.args(["--out", text(&out)])).expect_code(0);
    out
}

/// Boots a disk and waits until its serial console has printed all these words.
fn boots_and_prints(
    place: &Place,
    name: &str,
    disk: &Path,
    firmware: Firmware,
    interface: Interface,
    expected: &[&str],
) {
    let utf8 = |path: &Path| Utf8PathBuf::from_path_buf(path.to_owned()).unwrap();
    let mut machine = Machine::new(name, &utf8(&place.path(name)));
    machine.disk = Some(Disk::whole(utf8(disk), DiskFormat::Raw, interface));
    machine.overlay = if interface == Interface::Cd { Overlay::None } else { Overlay::Throwaway };
    machine.firmware = firmware;
    let log = machine.files.serial_log.clone();
    let qemu = Qemu::find(Arch::X86_64).unwrap();
    let instance = Instance::boot(machine, Engine::Tcg, &qemu).unwrap();
    wait_until(&format!("{name} says {expected:?}"), || {
        let printed = fs::read(&log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        expected.iter().all(|word| printed.contains(word))
    });
    instance.kill().unwrap();
}

#[test]
fn a_closure_disk_boots_with_both_firmwares_on_each_bus() {
    let place = Place::new();
    let disk = disk(&place);
    let booted = ["rave: boot loader", "usage: rave-guest COMMAND"];
    let uefi = || find_uefi(Arch::X86_64).unwrap();
    boots_and_prints(&place, "bios-virtio", &disk, Firmware::Bios, Interface::Virtio, &booted);
    boots_and_prints(&place, "bios-ahci", &disk, Firmware::Bios, Interface::Ahci, &booted);
    boots_and_prints(&place, "uefi-nvme", &disk, uefi(), Interface::Nvme, &booted);

    let iso = iso(&place, &disk);
    let live = [&booted[..], &["rave: live medium found"]].concat();
    boots_and_prints(&place, "live-bios", &iso, Firmware::Bios, Interface::Cd, &live);
    boots_and_prints(&place, "live-uefi", &iso, uefi(), Interface::UsbStick, &live);

    // As written by nixpkgs' install-grub.pl: the core images do not know it in advance.
    let menu = place.path("grub.cfg");
    let text = "search --set=drive1 --label ESP\nif [ -s $prefix/grubenv ]; then\n  load_env\nfi\nset default=0\nset timeout=0\n\
                serial --unit=0 --speed=115200\nterminal_output console serial\n\
                if [ \"${grub_platform}\" = \"efi\" ]; then\n  insmod efi_gop\nelse\n  insmod vbe\nfi\n\
                echo \"generation $prefix\"\nmenuentry \"NixOS\" {\nsearch --set=drive1 --label ESP\n\
                echo \"the menu of $drive1\"\n}\nsubmenu \"All\" { menuentry \"Old\" { true } }\n";
    fs::write(&menu, text).unwrap();
    let drive = format!("{}@@2M", disk.display());
    let mut command = Command::new("mcopy");
    command.args(["-o", "-i", &drive, menu.to_str().unwrap(), "::/grub/grub.cfg"]);
    assert!(command.status().unwrap().success());
    let switched = ["generation (hd0,gpt2)/grub", "the menu of hd0,gpt2"];
    for (name, interface) in [
        ("switched-virtio", Interface::Virtio),
        ("switched-nvme", Interface::Nvme),
        ("switched-ahci", Interface::Ahci),
    ] {
        boots_and_prints(&place, name, &disk, Firmware::Bios, interface, &switched);
    }
    boots_and_prints(&place, "switched-uefi", &disk, uefi(), Interface::Virtio, &switched);
}
