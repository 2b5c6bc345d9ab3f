//! Real ISOs of the disk of the closure in tests/fixtures/closure.

use std::os::unix::fs::PermissionsExt as _;

use rave_process::Cmd;

use super::*;
use crate::digest::Digest;
use crate::disk_image::tests::{EPOCH, Place, store};
use crate::inspect::{Depth, GuestContent, inspect};

const ARGUMENTS: &str = "init=/init root=overlay rootflags=lowerdir=/a,upperdir=/b rw fstab=no";

/// Files of the closure.
const KERNEL: &str = "p5mn8x0nd282k0mffbynzck463hifxv7-linux/bzImage";
const INITRD: &str = "fk9j8yv7dnnxi4gjg91inl9748fi2fb4-initrd/initrd";

fn write_iso(disk: &Utf8Path, output: &Utf8Path, arguments: &str) -> Result<(), Error> {
    let [kernel, initrd] = [KERNEL, INITRD].map(|file| store().join(file));
    let (grub, epoch) = (&[], EPOCH);
    let request = IsoImageRequest { disk, kernel: &kernel, initrd: &initrd, arguments, grub, output, epoch };
    write(&request, &|_| ())
}

/// The files of an ISO, in a folder.
fn unpacked(iso: &Utf8Path, folder: &Utf8Path) {
    let args = ["-no_rc", "-osirrox", "on", "-indev", iso.as_str(), "-extract", "/", folder.as_str()];
    Cmd::new("xorriso").args(args).output().unwrap();
}

#[test]
fn isos_of_one_disk_are_identical_and_contain_disk_and_kernel() {
    let place = Place::new();
    let disk = place.write("a/disk.raw", &store()).unwrap();
    let first = place.path.join("first.iso");
    write_iso(&disk, &first, ARGUMENTS).unwrap();

    // As on another file system.
    let elsewhere = place.path.join("b/disk.raw");
    fs::create_dir(elsewhere.parent().unwrap()).unwrap();
    Cmd::new("cp").args(["--sparse=always", disk.as_str(), elsewhere.as_str()]).output().unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    let second = place.path.join("second.iso");
    write_iso(&elsewhere, &second, ARGUMENTS).unwrap();
    assert_eq!(Digest::of_file(&first).unwrap(), Digest::of_file(&second).unwrap());

    let folder = place.path.join("medium");
    unpacked(&first, &folder);
    for (source, name) in [(KERNEL, "boot/vmlinuz"), (INITRD, "boot/initrd.img")] {
        assert_eq!(fs::read(store().join(source)).unwrap(), fs::read(folder.join(name)).unwrap(), "{name}");
    }
    Cmd::new("sha256sum").args(["--check", "rave/SHA256SUMS"]).current_dir(&folder).output().unwrap();
    let menu = fs::read_to_string(folder.join("boot/grub/grub.cfg")).unwrap();
    // The root file system follows the ESP of this disk.
    assert!(menu.contains(&format!(" rave.root-offset={} {ARGUMENTS} $*\n", 42 << 20)), "{menu}");

    let content_of = |path: &Utf8Path| inspect(path, Depth::Files).unwrap().content;
    let content = content_of(&first);
    assert!(matches!(content, GuestContent::Alone { .. }), "{content:?}");
    assert_eq!(content, content_of(&disk), "every format contains the same files");
}

#[test]
fn foreign_disks_are_refused_and_leave_no_files() {
    let place = Place::new();
    let output = place.path.join("a.iso");
    let disk = place.path.join("disk.raw");
    fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let refusal = |disk: &Utf8Path, output: &Utf8Path, arguments: &str| {
        write_iso(disk, output, arguments).unwrap_err().to_string()
    };
    assert_eq!(refusal(&disk, &output, ""), format!("{disk}: it has no GUID partition table"));
    let other = place.path.join("nixos.img");
    let refused = refusal(&other, &output, "");
    assert_eq!(
        refused,
        format!("{other}: it must be called disk.raw, as the installer on the medium finds it")
    );
    assert!(refusal(&disk, &output, "a;b").starts_with("--arguments: "));
    assert!(refusal(&disk, &disk, "").contains("it already exists"));
    assert!(!output.exists());
}
