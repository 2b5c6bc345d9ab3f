//! Disks of a machine and their controllers.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// A disk image and how the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The image, or the file that contains it.
    pub path: Utf8PathBuf,
    /// Where in that file the image is.
    pub extent: DiskExtent,
    /// Its format.
    pub format: DiskFormat,
    /// The controller that it is attached to.
    pub interface: Interface,
}

impl Disk {
    /// An image that is a file of its own.
    pub fn whole(path: impl Into<Utf8PathBuf>, format: DiskFormat, interface: Interface) -> Self {
        Self { path: path.into(), extent: DiskExtent::Whole, format, interface }
    }
}

/// A disk in addition to the one that the machine boots from. The guest writes directly to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraDisk {
    /// The image.
    pub path: Utf8PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// The controller that it is attached to.
    pub interface: Interface,
    /// The guest cannot write it.
    pub read_only: bool,
}

/// Which part of a file is the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskExtent {
    /// The file is the image.
    Whole,
    /// The image is in an archive that does not compress it, such as an OVA. It is read only through an overlay.
    Bytes {
        /// Its first byte; a multiple of 512.
        offset: u64,
        /// Bytes.
        size: u64,
    },
}

/// A disk image format, by QEMU's block driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DiskFormat {
    /// Plain bytes.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// `VMware`.
    Vmdk,
    /// `VirtualBox`.
    Vdi,
}

impl DiskFormat {
    /// The block driver's name.
    pub fn driver(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
        }
    }
}

/// The controller that a disk is attached to: an artifact for another hypervisor is booted with a controller of that
/// hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interface {
    /// virtio-blk.
    Virtio,
    /// SATA, as in VirtualBox.
    Ahci,
    /// `NVMe`.
    Nvme,
    /// LSI SAS 1068.
    Scsi,
    /// VMware's own SCSI.
    Pvscsi,
    /// A CD drive on SATA. The medium cannot be written: the machine has no overlay.
    Cd,
    /// A USB stick on xHCI.
    UsbStick,
}

impl Interface {
    /// The common name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-blk",
            Self::Ahci => "ahci",
            Self::Nvme => "nvme",
            Self::Scsi => "lsi-sas",
            Self::Pvscsi => "pvscsi",
            Self::Cd => "sata-cd",
            Self::UsbStick => "usb-storage",
        }
    }
}
