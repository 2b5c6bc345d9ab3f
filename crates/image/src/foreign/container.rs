//! The type of a file, according to its first and last bytes. Names and extensions are ignored: they are untrusted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::formats::{vmdk, zst};

use super::{old_qemu, qcow2, vhd, vhdx};

/// Bytes read from the start of a file: they include the volume descriptors of an ISO (ECMA-119, 6.2.1) and the
/// superblock of btrfs, the last one that is looked for.
pub(crate) const HEAD: u64 = 68 << 10;

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// A disk's own bytes: a boot sector, a partition table or a file system.
    Raw,
    /// QEMU's own, version 2 or 3.
    Qcow2,
    /// QEMU's own, version 1.
    Qcow,
    /// QEMU's "enhanced disk".
    Qed,
    /// VMware's sparse extent, in hosted products.
    Vmdk,
    /// The text that lists the extents of a VMDK.
    VmdkDescriptor,
    /// A sparse extent of ESX, listed in a descriptor.
    EsxExtent,
    /// VirtualBox's own.
    Vdi,
    /// Virtual PC's and Hyper-V's, with a table of blocks.
    Vhd,
    /// A disk's bytes followed by a VHD footer.
    FixedVhd,
    /// Hyper-V's.
    Vhdx,
    /// Parallels'.
    Parallels,
    /// Bochs's own.
    Bochs,
    /// A compressed loop device.
    Cloop,
    /// Apple's disk image.
    Dmg,
    /// A disk encrypted by LUKS.
    Luks,
    /// A compressed file.
    Packed(Packing),
    /// An archive that an OVA may be.
    Tar,
    /// A zip archive, sometimes used for appliances.
    Zip,
    /// A 7z archive.
    SevenZip,
    /// A CD; with a boot sector also a disk.
    Iso {
        /// Whether it has a boot sector, as on a USB stick.
        is_disk: bool,
    },
    /// A Windows image file.
    Wim,
    /// Android's sparse image.
    AndroidSparse,
    /// None of these.
    Unknown,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// The .xz file format 1.2.1.
    Xz,
    /// RFC 8878.
    Zstd,
    /// The format of bzip2(1).
    Bzip2,
    /// The LZ4 frame format 1.6.
    Lz4,
}

impl Container {
    /// The type of `size` bytes of a file, from `offset` on.
    pub(crate) fn of_file(file: &File, offset: u64, size: u64) -> io::Result<Self> {
        let part = |start: u64, length: u64| {
            let mut bytes =
                vec![0; usize::try_from(length.min(size.saturating_sub(start))).unwrap_or_default()];
            file.read_exact_at(&mut bytes, offset.saturating_add(start))?;
            Ok::<_, io::Error>(bytes)
        };
        Ok(Self::of(&part(0, HEAD)?, &part(size.saturating_sub(512), 512)?))
    }

    /// The type according to a file's first bytes, up to [`HEAD`], and its last 512.
    pub fn of(head: &[u8], tail: &[u8]) -> Self {
        let at = |place: usize, magic: &[u8]| head.get(place..place + magic.len()) == Some(magic);
        let starts = |magics: &[&[u8]]| magics.iter().any(|magic| head.starts_with(magic));
        // A boot sector ends with these two bytes (UEFI specification 2.10, table 5.1).
        let boots = at(510, &[0x55, 0xaa]);
        match () {
            () if at(0, &qcow2::MAGIC) => match head.get(4..8) {
                Some([0, 0, 0, 1]) => Self::Qcow,
                _ => Self::Qcow2,
            },
            () if at(0, &vmdk::MAGIC) => Self::Vmdk,
            // "COWD" of VMFS sparse extents, and the first number of SESparse ones.
            () if starts(&[b"COWD", &0xCAFE_BABE_u64.to_le_bytes()]) => Self::EsxExtent,
            () if at(0, &old_qemu::QED_MAGIC) => Self::Qed,
            () if at(0, vhdx::MAGIC) => Self::Vhdx,
            () if at(0, vhd::COOKIE) => Self::Vhd,
            // VirtualBox, VDICore.h: `VDI_IMAGE_SIGNATURE`, behind 64 bytes of text.
            () if at(0x40, &0xBEDA_107F_u32.to_le_bytes()) => Self::Vdi,
            // QEMU, docs/interop/parallels.txt: `magic` of both versions.
            () if starts(&[b"WithoutFreeSpace", b"WithouFreSpacExt"]) => Self::Parallels,
            () if at(0, b"Bochs Virtual HD Image") => Self::Bochs,
            () if at(0, b"#!/bin/sh\n#V2.0 Format\n") => Self::Cloop,
            () if at(0, b"LUKS\xba\xbe") => Self::Luks,
            () if at(0, &[0x1f, 0x8b]) => Self::Packed(Packing::Gzip),
            () if at(0, b"\xfd7zXZ\0") => Self::Packed(Packing::Xz),
            () if at(0, &zst::MAGIC) || is_skippable_zstd(head) => Self::Packed(Packing::Zstd),
            () if at(0, b"BZh") && at(4, b"1AY&SY") => Self::Packed(Packing::Bzip2),
            () if at(0, &0x184D_2204_u32.to_le_bytes()) => Self::Packed(Packing::Lz4),
            () if at(0, b"PK\x03\x04") => Self::Zip,
            () if at(0, b"7z\xbc\xaf\x27\x1c") => Self::SevenZip,
            () if at(0, b"MSWIM\0\0\0") => Self::Wim,
            () if at(0, &0xED26_FF3A_u32.to_le_bytes()) => Self::AndroidSparse,
            () if at(257, b"ustar") => Self::Tar,
            () if is_vmdk_descriptor(head) => Self::VmdkDescriptor,
            () if at(0x8001, b"CD001") => Self::Iso { is_disk: boots },
            () if vhd::Footer::parse(tail).is_ok() => Self::FixedVhd,
            // Apple puts its 512 bytes behind everything ("koly").
            () if tail.starts_with(b"koly\0\0\0\x04") => Self::Dmg,
            () if boots || is_file_system(head) => Self::Raw,
            () => Self::Unknown,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw disk",
            Self::Qcow2 => "qcow2",
            Self::Qcow => "qcow (version 1)",
            Self::Qed => "QED",
            Self::Vmdk => "VMDK",
            Self::VmdkDescriptor => "VMDK descriptor",
            Self::EsxExtent => "an extent of a VMDK of ESX",
            Self::Vdi => "VDI",
            Self::Vhd => "VHD",
            Self::FixedVhd => "VHD of fixed size",
            Self::Vhdx => "VHDX",
            Self::Parallels => "Parallels disk",
            Self::Bochs => "Bochs disk",
            Self::Cloop => "cloop",
            Self::Dmg => "DMG",
            Self::Luks => "LUKS",
            Self::Packed(packing) => packing.name(),
            Self::Tar => "tar archive",
            Self::Zip => "zip archive",
            Self::SevenZip => "7z archive",
            Self::Iso { .. } => "ISO 9660",
            Self::Wim => "Windows image file (WIM)",
            Self::AndroidSparse => "Android sparse image",
            Self::Unknown => "unknown",
        }
    }

    /// The driver of QEMU that reads it.
    pub fn driver(self) -> Option<&'static str> {
        Some(match self {
            Self::Raw | Self::FixedVhd | Self::Iso { is_disk: true } => "raw",
            Self::Qcow2 => "qcow2",
            Self::Qcow => "qcow",
            Self::Qed => "qed",
            Self::Vmdk | Self::VmdkDescriptor => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
            Self::Parallels => "parallels",
            Self::Bochs => "bochs",
            Self::Cloop => "cloop",
            Self::Dmg => "dmg",
            _ => return None,
        })
    }

    /// Why no disk can be made of it, and what to do.
    pub(crate) fn refusal(self) -> String {
        match self {
            Self::EsxExtent => "an extent of a VMDK of ESX: give the .vmdk that names it".into(),
            Self::Luks => "a disk encrypted by LUKS: decrypt it first, with `cryptsetup open` and `dd`".into(),
            Self::Zip => "a zip archive: unpack it with `unzip`, then give the disk in it".into(),
            Self::SevenZip => "a 7z archive: unpack it with `7z x`, then give the disk in it".into(),
            Self::Iso { .. } => "an ISO 9660 image of a CD without a boot sector, no disk: boot it, and install".into(),
            Self::Wim => "a Windows image file (WIM), no disk: apply it to a disk with wimlib-imagex(1)".into(),
            Self::AndroidSparse => "an Android sparse image: convert it to a raw disk with `simg2img`".into(),
            Self::Unknown => {
                "neither a disk image that is known nor a raw disk with a boot sector, a partition table or a file \
                 system: where it is a raw disk nevertheless, say so with --raw"
                    .into()
            }
            other => format!("a {}, which cannot be read as a disk", other.name()),
        }
    }
}

impl Packing {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }
}

/// Skippable frames may come first (RFC 8878, 3.1.2); LZ4 has the same, so that a frame of zstd must follow.
fn is_skippable_zstd(head: &[u8]) -> bool {
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let mut at = 0_usize;
    while word(at).is_some_and(|magic| magic & !0xF == 0x184D_2A50) {
        let length = word(at + 4).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        at = at.saturating_add(8).saturating_add(length);
    }
    at > 0 && word(at).is_some_and(|magic| magic.to_le_bytes() == zst::MAGIC)
}

/// As QEMU's `vmdk_probe` does: behind comments and empty lines stands the version. The usual comment is enough, whatever
/// follows.
fn is_vmdk_descriptor(head: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&head[..head.len().min(2048)]);
    let mut lines = start.lines().map(str::trim).filter(|line| !line.is_empty());
    let usual = |line: &str| line.to_ascii_lowercase().starts_with("# disk descriptorfile");
    start.lines().next().is_some_and(usual)
        || lines.find(|line| !line.starts_with('#')).is_some_and(|line| {
            let compact: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            ["version=1", "version=2", "version=3"].contains(&compact.to_ascii_lowercase().as_str())
        })
}

/// Magic numbers of what fills a disk without a partition table, and where they lie: the GPT (also of 4 KiB sectors),
/// ext2 and its children, XFS, btrfs, squashfs, LVM's label, swap, F2FS.
const FILE_SYSTEMS: &[(usize, &[u8])] = &[
    (512, b"EFI PART"),
    (4096, b"EFI PART"),
    (1080, &[0x53, 0xef]),
    (0, b"XFSB"),
    (65600, b"_BHRfS_M"),
    (0, b"hsqs"),
    (512, b"LABELONE"),
    (4086, b"SWAPSPACE2"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2]),
];

fn is_file_system(head: &[u8]) -> bool {
    FILE_SYSTEMS.iter().any(|(place, magic)| head.get(*place..place + magic.len()) == Some(magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(place: usize, magic: &[u8]) -> Container {
        let mut head = vec![0; usize::try_from(HEAD).unwrap()];
        head[place..place + magic.len()].copy_from_slice(magic);
        Container::of(&head, &[0; 512])
    }

    #[test]
    fn file_types_are_detected_from_bytes() {
        for (place, magic, expected) in [
            (0, &b"QFI\xfb\0\0\0\x02"[..], Container::Qcow2),
            (0, b"QFI\xfb\0\0\0\x01", Container::Qcow),
            (0, b"BZh91AY&SY", Container::Packed(Packing::Bzip2)),
            (0, b"BZh9........", Container::Unknown),
            (0, b"\n# x\nversion = 1\n", Container::VmdkDescriptor),
            (0, b"# Disk DescriptorFile\r\n", Container::VmdkDescriptor),
            (0, b"version=4\n", Container::Unknown),
            (510, b"\x55\xaa", Container::Raw),
            (1080, b"\x53\xef", Container::Raw),
            (0x8001, b"CD001", Container::Iso { is_disk: false }),
            (0, b"#!/bin/sh\n", Container::Unknown),
        ] {
            assert_eq!(with(place, magic), expected, "{:?} at {place}", String::from_utf8_lossy(magic));
        }
        assert_eq!(Container::of(b"", b""), Container::Unknown);
    }

    #[test]
    fn skippable_frames_are_zstd_if_a_zstd_frame_follows() {
        let skippable = [&0x184D_2A53_u32.to_le_bytes()[..], &[2, 0, 0, 0, 9, 9]].concat();
        let zstd = [&skippable[..], &zst::MAGIC].concat();
        assert_eq!(Container::of(&zstd, &[]), Container::Packed(Packing::Zstd));
        assert_eq!(Container::of(&skippable, &[]), Container::Unknown);
    }
}
