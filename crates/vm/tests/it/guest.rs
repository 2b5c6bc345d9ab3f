//! Small guests for tests: boot sectors, and a Linux with a scripted init.
//!
//! The kernel and busybox are downloaded once from the host's Debian archive by `apt-get download`; they stay in
//! `target/`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Cmd, FileLock};
use rave_vm::accel::Engine;
use rave_vm::machine::{Arch, DirectKernel, Disk, DiskFormat, Interface, Machine};
use rave_vm::qemu::Qemu;
use rave_vm::{Error, Instance};

/// A folder for one test, and the machines that it can create in it.
pub(crate) struct Bench {
    _scratch: tempfile::TempDir,
    pub(crate) folder: Utf8PathBuf,
    pub(crate) qemu: Qemu,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        Self { _scratch: scratch, folder, qemu: Qemu::find(Arch::X86_64).unwrap() }
    }

    /// An empty machine.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        Machine { memory_mib: 256, ..Machine::new(name, &self.folder.join(name)) }
    }

    /// A machine whose disk starts with these bytes.
    pub(crate) fn with_disk(&self, sector: &[u8]) -> Machine {
        let path = self.folder.join("disk.raw");
        let mut file = File::create(&path).unwrap();
        file.write_all(sector).unwrap();
        file.set_len(1024 * 1024).unwrap();
        let disk = Some(Disk::whole(path, DiskFormat::Raw, Interface::Virtio));
        Machine { disk, ..self.machine("sector") }
    }

    /// A machine with a Linux kernel and an initial RAM disk whose init runs `script`.
    pub(crate) fn linux(&self, script: &str, arguments: &str) -> Machine {
        let parts = Parts::get();
        let initrd = self.folder.join("initrd");
        fs::write(&initrd, parts.initrd(script)).unwrap();
        let command_line = format!("console=ttyS0 panic=-1 {arguments}");
        let kernel = Some(DirectKernel { image: parts.kernel, initrd: Some(initrd), command_line });
        Machine { kernel, ..self.machine("linux") }
    }

    pub(crate) fn boot(&self, machine: Machine) -> Result<Instance, Error> {
        Instance::boot(machine, Engine::Tcg, &self.qemu)
    }
}

/// A boot sector that writes `text` to COM1 and halts. 16-bit code at 0x7c00:
/// `cld; mov si, 0x7c20; mov dx, 0x3f8; next: lodsb; test al, al; jz halt; out dx, al; jmp next; halt: cli; hlt; jmp halt`.
pub(crate) fn sector_that_prints(text: &str) -> Vec<u8> {
    let mut sector = vec![
        0xfc, 0xbe, 0x20, 0x7c, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, 0xfa, 0xf4,
        0xeb, 0xfc,
    ];
    sector.resize(0x20, 0);
    sector.extend_from_slice(text.as_bytes());
    sector.resize(510, 0);
    sector.extend_from_slice(&[0x55, 0xaa]);
    sector
}

/// A boot sector that writes to the firmware's debug port forever. 16-bit code at 0x7c00:
/// `mov dx, 0x402; mov al, 'x'; again: out dx, al; jmp again`.
pub(crate) fn sector_that_prints_endlessly() -> Vec<u8> {
    let mut sector = vec![0xba, 0x02, 0x04, 0xb0, b'x', 0xee, 0xeb, 0xfd];
    sector.resize(510, 0);
    sector.extend_from_slice(&[0x55, 0xaa]);
    sector
}

/// A boot sector that fills the screen with the dark red of the standard palette and writes `painted` to COM1. 16-bit
/// code at 0x7c00: mode 0x13 (320x200, a byte per pixel) by the video BIOS, then `rep stosb` of colour 4 over its
/// memory at 0xa0000, then the code of [`sector_that_prints`].
///
/// `cld; mov ax, 0x13; int 0x10; mov ax, 0xa000; mov es, ax; xor di, di; mov cx, 64000; mov al, 4; rep stosb`
pub(crate) fn sector_that_paints() -> Vec<u8> {
    let paint = [
        0xfc, 0xb8, 0x13, 0x00, 0xcd, 0x10, 0xb8, 0x00, 0xa0, 0x8e, 0xc0, 0x31, 0xff, 0xb9, 0x00, 0xfa, 0xb0,
        0x04, 0xf3, 0xaa,
    ];
    let mut sector_code = sector_that_prints("");
    sector_code.truncate(0x13);
    sector_code[2] = 0x40; // the text's address, 0x7c40
    let mut sector = [&paint[..], &sector_code].concat();
    sector.resize(0x40, 0);
    sector.extend_from_slice(b"painted\n");
    sector.resize(510, 0);
    sector.extend_from_slice(&[0x55, 0xaa]);
    sector
}

/// The parts of a Linux guest.
struct Parts {
    kernel: Utf8PathBuf,
    busybox: Utf8PathBuf,
    /// In loading order, without those that are built into the kernel.
    modules: Vec<Utf8PathBuf>,
}

const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_console",
];

impl Parts {
    fn get() -> Self {
        let cache = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
        fs::create_dir_all(&cache).unwrap();
        // Tests run in concurrent processes: one of them downloads.
        let _lock = FileLock::acquire(cache.join("lock"), &mut |_| {}).unwrap();
        let tree = cache.join("tree");
        if !tree.exists() {
            fetch(&cache, &tree);
        }
        let modules = find(&tree, &|name| name.contains(".ko"));
        let module = |wanted: &&str| {
            modules
                .iter()
                .find(|path| path.file_name().is_some_and(|name| name.split('.').next() == Some(wanted)))
        };
        Self {
            kernel: find(&tree.join("boot"), &|name| name.starts_with("vmlinuz-")).remove(0),
            busybox: find(&tree, &|name| name == "busybox").remove(0),
            modules: MODULES.iter().filter_map(module).cloned().collect(),
        }
    }

    /// An initial RAM disk with busybox, the modules of the readiness port, and an init that loads them and continues
    /// with `script`, which can use `event STAGE STATE DETAIL` and `hang`.
    fn initrd(&self, script: &str) -> Vec<u8> {
        let mut archive = Vec::new();
        for folder in ["dev", "proc", "sys", "bin"] {
            entry(&mut archive, folder, 0o040_755, b"");
        }
        entry(&mut archive, "bin/busybox", 0o100_755, &fs::read(&self.busybox).unwrap());
        let mut load = String::new();
        for (index, module) in self.modules.iter().enumerate() {
            entry(&mut archive, &format!("{index}.ko"), 0o100_644, &plain(module));
            let _ = writeln!(load, "$b insmod /{index}.ko"); // cannot fail
        }
        let init = format!(
            r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys
exec >/dev/ttyS0 2>&1
hang() {{ while :; do $b sleep 1000; done; }}
ports() {{
{load}    read -r boot </proc/sys/kernel/random/boot_id
    until [ -n "$($b cat /sys/class/virtio-ports/*/name 2>/dev/null)" ]; do $b usleep 20000; done
    for port in /sys/class/virtio-ports/*; do
        if [ "$($b cat $port/name)" = org.rave.ready ]; then port=/dev/${{port##*/}}; break; fi
    done
}}
event() {{ echo "{{\"stage\":\"$1\",\"state\":\"$2\",\"detail\":\"$3\",\"boot_id\":\"$boot\"}}" >$port; }}
{script}
hang
"#
        );
        entry(&mut archive, "init", 0o100_755, init.as_bytes());
        entry(&mut archive, "TRAILER!!!", 0, b"");
        archive
    }
}

/// One file of a cpio archive in the "newc" format, Documentation/driver-api/early-userspace/buffer-format.rst of
/// Linux.
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let size = u32::try_from(bytes.len()).unwrap();
    let name_size = u32::try_from(name.len()).unwrap() + 1;
    let inode = u32::try_from(archive.len()).unwrap();
    archive.extend_from_slice(b"070701");
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(bytes);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// A module's bytes, decompressed if the distribution compresses modules.
fn plain(module: &Utf8Path) -> Vec<u8> {
    if module.extension() == Some("xz") {
        return Cmd::new("xz").args(["-dc", module.as_str()]).output().unwrap().stdout;
    }
    fs::read(module).unwrap()
}

fn fetch(cache: &Utf8Path, tree: &Utf8Path) {
    let depends = Cmd::new("apt-cache").args(["depends", "--important", KERNEL_PACKAGE]).output();
    let depends = depends.expect("these tests boot a kernel of the host's Debian archive").text();
    let image =
        depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).expect("apt-get update first");
    let debs = cache.join("debs");
    let _ = fs::remove_dir_all(&debs); // left by a test that was killed
    fs::create_dir_all(&debs).unwrap();
    Cmd::new("apt-get")
        .args(["-o", "APT::Sandbox::User=root", "download", image, "busybox-static"])
        .current_dir(debs.as_std_path())
        .timeout(Duration::from_secs(300))
        .output()
        .unwrap();
    let temporary = cache.join("tree.new");
    let _ = fs::remove_dir_all(&temporary);
    for deb in find(&debs, &|name| Utf8Path::new(name).extension() == Some("deb")) {
        Cmd::new("dpkg-deb").args(["-x", deb.as_str(), temporary.as_str()]).output().unwrap();
    }
    fs::rename(temporary, tree).unwrap();
}

/// All files below `folder` whose name matches.
fn find(folder: &Utf8Path, fits: &dyn Fn(&str) -> bool) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(find(entry.path(), fits));
        } else if kind.is_file() && fits(entry.file_name()) {
            found.push(entry.into_path());
        }
    }
    found.sort();
    found
}
