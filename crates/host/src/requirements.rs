//! The requirements of the host, as data.

use rave_vm::qemu::OLDEST;

use crate::requirement::{Packages, Part, Probe, Requirement, Suite, packages, qemu};
use crate::version::ProgramVersion;

const OLDEST_QEMU: ProgramVersion = ProgramVersion([OLDEST.major, OLDEST.minor, OLDEST.patch]);

pub(crate) const BUILD: &[Part] = &[Part::Build];
pub(crate) const NIXOS: &[Part] = &[Part::Nixos];
/// The requirements of booting a machine.
pub const BOOT: &[Part] = &[Part::Boot];
const ISO: &[Part] = &[Part::Iso];
const BOTH: &[Part] = &[Part::Build, Part::Boot];

/// The emulator.
pub(crate) const QEMU: Requirement = Requirement {
    name: "qemu-system-x86_64",
    why: "runs the virtual machine",
    probe: Probe::Versioned { argument: "--version", minimal: OLDEST_QEMU },
    packages: qemu("qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86", "qemu-x86"),
    parts: BOOT,
};

/// The requirements of the Debian base and of the virtual machine, in the order of doctor's rows.
pub(crate) const REQUIREMENTS: &[Requirement] = &[
    QEMU,
    Requirement {
        name: "virtio-vga",
        why: "the virtual machine's video device",
        probe: Probe::QemuDevice("virtio-vga"),
        packages: qemu(
            "qemu-system-common",
            "qemu-device-display-virtio-vga",
            "qemu-hw-display-virtio-vga",
            "qemu-hw-display-virtio-vga",
        ),
        parts: BOOT,
    },
    Requirement {
        name: "QEMU's GTK window",
        why: "shows the screen (run --gui gtk)",
        probe: Probe::QemuDisplay("gtk"),
        packages: qemu("qemu-system-gui", "qemu-ui-gtk", "qemu-ui-gtk", "qemu-ui-gtk"),
        parts: &[Part::Gtk],
    },
    Requirement {
        name: "QEMU's SDL window",
        why: "shows the screen (run --gui sdl)",
        probe: Probe::QemuDisplay("sdl"),
        packages: qemu("qemu-system-gui", "qemu-ui-sdl", "qemu-ui-sdl", ""),
        parts: &[Part::Sdl],
    },
    Requirement {
        name: "QEMU's SPICE server",
        why: "serves the screen (run --gui spice)",
        // The display that starts a viewer is in the same package as the server.
        probe: Probe::QemuDisplay("spice-app"),
        packages: qemu(
            "qemu-system-modules-spice",
            "qemu-ui-spice-app qemu-ui-spice-core qemu-char-spice",
            "qemu-ui-spice-app qemu-ui-spice-core qemu-chardev-spice",
            "qemu-spice",
        ),
        parts: &[Part::Spice],
    },
    Requirement {
        name: "qemu-img",
        why: "makes qcow2 images and overlays",
        probe: Probe::Versioned { argument: "--version", minimal: OLDEST_QEMU },
        packages: qemu("qemu-utils", "qemu-img", "qemu-img", "qemu-tools"),
        parts: BOTH,
    },
    Requirement {
        name: "OVMF",
        why: "UEFI firmware for the virtual machine",
        probe: Probe::UefiFirmware,
        packages: packages("ovmf", "edk2-ovmf", "edk2-ovmf", "qemu-ovmf-x86_64", "qemu"),
        parts: BOOT,
    },
    Requirement {
        name: "mmdebstrap",
        why: "unpacks Debian's packages into a root filesystem",
        probe: Probe::Versioned { argument: "--version", minimal: ProgramVersion([1, 3, 0]) },
        packages: packages("mmdebstrap", "mmdebstrap", "", "", ""),
        parts: BUILD,
    },
    Requirement {
        name: "apt-get",
        why: "fetches Debian's packages as debian.lock names them",
        // mmdebstrap depends on it.
        probe: Probe::Program,
        packages: packages("apt", "apt", "", "", ""),
        parts: BUILD,
    },
    Requirement {
        name: "mount",
        why: "gives packages their /proc while they are configured",
        probe: Probe::Program,
        // Only recommended by mmdebstrap, and missing in minimal installations of Debian.
        packages: packages("mount", "util-linux", "util-linux", "util-linux", ""),
        parts: BUILD,
    },
    Requirement {
        name: "debian-archive-keyring",
        why: "the keys that Debian's packages are checked with",
        probe: Probe::File {
            any_of: &[
                "/usr/share/keyrings/debian-archive-keyring.gpg",
                "/usr/share/keyrings/debian-archive-keyring.pgp",
            ],
        },
        packages: packages("debian-archive-keyring", "debian-keyring", "debian-archive-keyring", "", ""),
        parts: BUILD,
    },
    Requirement {
        name: "mke2fs",
        why: "writes the root filesystem from a tar",
        probe: Probe::TarMke2fs { minimal: ProgramVersion([1, 47, 1]) },
        packages: Packages {
            // libarchive is loaded at run time, so no package depends on it.
            apt: "e2fsprogs libarchive13",
            suite: Suite::BackportsOn(&["12"]),
            dnf: "e2fsprogs libarchive",
            pacman: "e2fsprogs libarchive",
            zypper: "e2fsprogs libarchive13",
            brew: "e2fsprogs",
            units: &[],
        },
        parts: BUILD,
    },
    Requirement {
        name: "mkfs.vfat",
        why: "makes the EFI system partition",
        probe: Probe::Program,
        packages: packages("dosfstools", "dosfstools", "dosfstools", "dosfstools", "dosfstools"),
        parts: BUILD,
    },
    Requirement {
        name: "mcopy",
        why: "fills the EFI system partition",
        probe: Probe::Program,
        packages: packages("mtools", "mtools", "mtools", "mtools", "mtools"),
        parts: BUILD,
    },
    Requirement {
        name: "sfdisk",
        why: "writes the partition table",
        probe: Probe::Program,
        packages: packages("fdisk", "util-linux", "util-linux", "util-linux", "util-linux"),
        parts: BUILD,
    },
    Requirement {
        name: "grub-mkimage",
        why: "makes the boot loader",
        probe: Probe::Program,
        packages: packages("grub-common", "grub2-tools", "grub", "grub2", ""),
        parts: BUILD,
    },
    Requirement {
        name: "GRUB for BIOS",
        why: "the boot loader's parts for BIOS",
        probe: Probe::File {
            any_of: &["/usr/lib/grub/i386-pc/boot.img", "/usr/share/grub2/i386-pc/boot.img"],
        },
        packages: packages("grub-pc-bin", "grub2-pc-modules", "grub", "grub2-i386-pc", ""),
        parts: BUILD,
    },
    Requirement {
        name: "GRUB for UEFI",
        why: "the boot loader's parts for UEFI",
        probe: Probe::File {
            any_of: &["/usr/lib/grub/x86_64-efi/normal.mod", "/usr/share/grub2/x86_64-efi/normal.mod"],
        },
        packages: packages("grub-efi-amd64-bin", "grub2-efi-x64-modules", "grub", "grub2-x86_64-efi", ""),
        parts: BUILD,
    },
    Requirement {
        name: "xorriso",
        why: "makes the ISO (format iso)",
        probe: Probe::Program,
        packages: packages("xorriso", "xorriso", "libisoburn", "xorriso", "xorriso"),
        parts: ISO,
    },
    Requirement {
        name: "mksquashfs",
        why: "packs the disk that the ISO carries (format iso)",
        probe: Probe::Program,
        packages: packages("squashfs-tools", "squashfs-tools", "squashfs-tools", "squashfs", "squashfs"),
        parts: ISO,
    },
    Requirement {
        name: "debugfs",
        why: "takes the kernel out of the disk (format iso)",
        probe: Probe::Program,
        packages: packages("e2fsprogs", "e2fsprogs", "e2fsprogs", "e2fsprogs", "e2fsprogs"),
        parts: ISO,
    },
    Requirement {
        name: "GRUB for CDs",
        why: "the boot loader's parts for CDs and sticks (format iso)",
        probe: Probe::File {
            any_of: &["/usr/lib/grub/i386-pc/boot_hybrid.img", "/usr/share/grub2/i386-pc/boot_hybrid.img"],
        },
        packages: packages("grub-pc-bin", "grub2-pc-modules", "grub", "grub2-i386-pc", ""),
        parts: ISO,
    },
    Requirement {
        name: "zstd",
        why: "compresses the raw disk (image --compress zstd)",
        probe: Probe::Program,
        packages: packages("zstd", "zstd", "zstd", "zstd", "zstd"),
        parts: &[Part::Zst],
    },
    Requirement {
        name: "static C library",
        why: "links the guest's program so that it runs in any guest",
        probe: Probe::File {
            any_of: &["/usr/lib/x86_64-linux-gnu/libc.a", "/usr/lib64/libc.a", "/usr/lib/libc.a"],
        },
        packages: packages("libc6-dev", "glibc-static", "glibc", "glibc-devel-static", ""),
        parts: BUILD,
    },
    Requirement {
        name: "node",
        why: "runs npm",
        probe: Probe::Program,
        packages: packages("nodejs", "nodejs", "nodejs", "nodejs", "node"),
        parts: BUILD,
    },
    Requirement {
        name: "npm",
        why: "fetches the guest's tools by their lock",
        // lockfileVersion 3 requires npm 7, which is out of support.
        probe: Probe::Versioned { argument: "--version", minimal: ProgramVersion([8, 0, 0]) },
        packages: packages("npm", "nodejs-npm", "npm", "npm", "node"),
        parts: BUILD,
    },
    Requirement {
        name: "git",
        why: "names the sources that an image was built from",
        probe: Probe::Program,
        packages: packages("git", "git", "git", "git", "git"),
        parts: BUILD,
    },
    Requirement {
        name: "ssh",
        why: "reaches the guest",
        probe: Probe::Program,
        packages: packages("openssh-client", "openssh-clients", "openssh", "openssh-clients", "openssh"),
        parts: BOOT,
    },
    Requirement {
        name: "ssh-keygen",
        why: "makes a key for each virtual machine",
        probe: Probe::Program,
        packages: packages("openssh-client", "openssh-clients", "openssh", "openssh-clients", "openssh"),
        parts: BOOT,
    },
];

/// Additional requirement of an ordinary user to be root inside a namespace; not needed by root.
pub(crate) const UIDMAP: Requirement = Requirement {
    name: "newuidmap",
    why: "gives an ordinary user the user ids that a root filesystem holds",
    probe: Probe::Program,
    packages: packages("uidmap", "shadow-utils", "shadow", "shadow", ""),
    parts: BUILD,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::for_tests::FOR_TESTS;

    #[test]
    fn names_are_unique_and_debian_has_every_package() {
        let all: Vec<&Requirement> = REQUIREMENTS.iter().chain(FOR_TESTS).collect();
        for (index, one) in all.iter().enumerate() {
            assert!(!one.packages.apt.is_empty(), "{}", one.name);
            assert!(!one.parts.is_empty(), "{}", one.name);
            assert!(all[..index].iter().all(|other| other.name != one.name), "{}", one.name);
        }
    }
}
