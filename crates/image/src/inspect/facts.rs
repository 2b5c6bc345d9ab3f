//! The facts about an image, as they are printed.

use serde::Serialize;

use super::gpt::Table;
use super::manifest_match::ManifestMatch;
use super::mbr;
use crate::digest::Digest;
use crate::foreign::{Container, Packing, qcow2};
use crate::formats::ova::Member;

/// How deeply to inspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Headers and tables.
    Tables,
    /// Also every file of the root file system.
    Files,
}

/// The facts about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its name.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub kind: ImageKind,
    /// The disk in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskFacts>,
    /// The comparison with the manifest beside it.
    pub manifest: ManifestMatch,
    /// The content of its root file system.
    pub content: GuestContent,
    /// What is wrong, or could not be determined.
    pub problems: Vec<String>,
    /// What was not examined, without being a problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "format")]
pub enum ImageKind {
    /// A plain disk.
    Raw,
    /// QEMU's own.
    Qcow2(qcow2::Header),
    /// VMware's.
    Vmdk(VmdkFacts),
    /// An OVF package in one file.
    Ova(OvaFacts),
    /// The descriptor of an OVF package.
    Ovf(MachineFacts),
    /// A configuration for VMware's products.
    Vmx(MachineFacts),
    /// A raw disk, compressed.
    Zst(ZstFacts),
    /// A compressed file with content other than a raw disk, or not compressed with zstd.
    Packed {
        /// How it is compressed.
        packing: Packing,
        /// Its content.
        holds: Container,
    },
    /// An ISO 9660 image.
    Iso(IsoFacts),
    /// A disk image without further facts.
    Other {
        /// What it is.
        container: Container,
    },
    /// None of these.
    Unknown,
}

/// The content of an image's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum GuestContent {
    /// It was not requested.
    NotLookedAt,
    /// It contains no root file system, or one that cannot be read.
    None {
        /// Why.
        detail: String,
    },
    /// No manifest to compare it with.
    Alone {
        /// The digest of [`crate::content`].
        sha256: Digest,
    },
    /// It matches the manifest.
    Same {
        /// The digest.
        sha256: Digest,
    },
    /// Its files differ from those that were built.
    Differs {
        /// The computed digest.
        sha256: Digest,
        /// The manifest's.
        manifest: Digest,
    },
    /// The manifest names this file, but no root file system can be read in it.
    Missing {
        /// Why.
        detail: String,
    },
}

/// The header of a VMDK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmdkFacts {
    /// `monolithicSparse`, `streamOptimized` and others.
    pub kind: String,
    /// Its content id.
    pub cid: String,
    /// The version of its format.
    pub version: u32,
}

/// An OVF package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OvaFacts {
    /// Its files, in order.
    pub files: Vec<String>,
    /// The machine that it describes.
    pub machine: Option<MachineFacts>,
    /// The member that its machine boots from.
    pub boot_disk: Option<String>,
    /// Its position.
    #[serde(skip)]
    pub(super) boot_member: Option<Member>,
    /// How many digests of its `.mf` match.
    pub digests_hold: usize,
}

/// A machine according to its descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineFacts {
    /// Its name.
    pub name: String,
    /// The hardware's family or version: `virtualbox-2.2`, `vmx-14`.
    pub family: String,
    /// The guest's system.
    pub guest: String,
    /// Virtual CPUs.
    pub cpus: Option<u64>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
    /// Disk controllers: `AHCI`, `pvscsi`.
    pub controllers: Vec<String>,
    /// Network cards: `E1000`, `vmxnet3`.
    pub cards: Vec<String>,
    /// Forwarded ports: `ssh 127.0.0.1:2223 -> 22`.
    pub forwards: Vec<String>,
}

/// A compressed raw disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ZstFacts {
    /// Its frames.
    pub frames: u64,
    /// Bytes at its start that contain the start of the disk.
    #[serde(skip)]
    pub(super) head: u64,
    /// Bytes of the disk, if the frames state it.
    pub content: Option<u64>,
}

/// An ISO image (ECMA-119, 8.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IsoFacts {
    /// The volume's name.
    pub volume: String,
    /// Whether it has an El Torito boot record.
    pub boots_as_cd: bool,
}

/// A disk as its guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskFacts {
    /// Bytes.
    pub virtual_size: u64,
    /// Its GUID partition table.
    pub table: Option<Table>,
    /// Its MBR partition table, if it has no GUID partition table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbr: Option<mbr::Table>,
    /// The name of the boot code that a BIOS starts, if any.
    pub bios_loader: Option<String>,
    /// Whether the EFI system partition contains the loader that UEFI looks for.
    pub uefi_loader: bool,
}

impl DiskFacts {
    /// A disk without further facts.
    pub(super) fn of_size(virtual_size: u64) -> Self {
        Self { virtual_size, table: None, mbr: None, bios_loader: None, uefi_loader: false }
    }

    /// The evidence that the disk is truncated, if any.
    pub(crate) fn cut(&self) -> Option<String> {
        let gpt = self.table.as_ref().map(|table| table.end);
        let end = gpt.or_else(|| self.mbr.as_ref().map(mbr::Table::end))?;
        (end > self.virtual_size).then(|| {
            format!(
                "it is truncated: its partition table needs {end} bytes, its disk has {}",
                self.virtual_size
            )
        })
    }
}
