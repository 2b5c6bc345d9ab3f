//! The matrix: each artifact on the hardware of the hypervisors and machines that it is made for. A row names the
//! medium, the firmware, the disk's bus and the network card.

use rave_spec::Format;
use rave_vm::machine::{DiskFormat, Interface, Nic};
use rave_vm::sandbox::Hardware;

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixRow {
    /// Its name, for `--rows`.
    pub name: &'static str,
    /// The format of the artifact to boot.
    pub format: Format,
    /// The medium to boot it as.
    pub medium: Medium,
    /// The firmware to boot with.
    pub firmware: FirmwareKind,
    /// The disk's controller; for [`Medium::Installed`], that of the target disk.
    pub interface: Interface,
    /// The network card.
    pub nic: Nic,
}

/// How an artifact is attached to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// As its disk.
    Disk,
    /// As a USB stick.
    UsbStick,
    /// As a CD.
    Cd,
    /// It was installed to an empty disk, and the machine only has that disk.
    Installed,
}

impl Medium {
    /// The name for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::UsbStick => "usb stick",
            Self::Cd => "cd",
            Self::Installed => "installed",
        }
    }
}

/// The firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirmwareKind {
    /// `SeaBIOS`.
    Bios,
    /// OVMF.
    Uefi,
}

impl FirmwareKind {
    /// The name for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

const fn row(
    name: &'static str,
    format: Format,
    medium: Medium,
    firmware: FirmwareKind,
    interface: Interface,
    nic: Nic,
) -> MatrixRow {
    MatrixRow { name, format, medium, firmware, interface, nic }
}

use FirmwareKind::{Bios, Uefi};
use Medium::{Cd, Disk, Installed, UsbStick};

/// All rows, by format; the first of each format is the one that `smoke` boots by default.
pub const ROWS: &[MatrixRow] = &[
    row("qemu-bios", Format::Qemu, Disk, Bios, Interface::Virtio, Nic::Virtio),
    row("qemu-uefi", Format::Qemu, Disk, Uefi, Interface::Virtio, Nic::Virtio),
    // The firmware in its descriptor.
    row("virtualbox", Format::Virtualbox, Disk, Bios, Interface::Ahci, Nic::E1000),
    row("vmware-pvscsi", Format::Vmware, Disk, Bios, Interface::Pvscsi, Nic::Vmxnet3),
    // Other hardware that a VMware machine may have.
    row("vmware-lsi", Format::Vmware, Disk, Bios, Interface::Scsi, Nic::E1000e),
    row("vmware-sata", Format::Vmware, Disk, Uefi, Interface::Ahci, Nic::E1000e),
    // Real machines: no virtio.
    row("raw-nvme-bios", Format::Raw, Disk, Bios, Interface::Nvme, Nic::E1000e),
    row("raw-nvme-uefi", Format::Raw, Disk, Uefi, Interface::Nvme, Nic::E1000e),
    row("raw-usb-bios", Format::Raw, UsbStick, Bios, Interface::UsbStick, Nic::E1000e),
    row("raw-usb-uefi", Format::Raw, UsbStick, Uefi, Interface::UsbStick, Nic::E1000e),
    row("iso-cd-bios", Format::Iso, Cd, Bios, Interface::Cd, Nic::Virtio),
    row("iso-cd-uefi", Format::Iso, Cd, Uefi, Interface::Cd, Nic::Virtio),
    row("iso-usb-bios", Format::Iso, UsbStick, Bios, Interface::UsbStick, Nic::E1000),
    row("iso-usb-uefi", Format::Iso, UsbStick, Uefi, Interface::UsbStick, Nic::E1000),
    row("iso-installed-bios", Format::Iso, Installed, Bios, Interface::Ahci, Nic::E1000),
    row("iso-installed-uefi", Format::Iso, Installed, Uefi, Interface::Nvme, Nic::E1000e),
];

impl MatrixRow {
    /// Whether the guest runs from a read-only medium.
    pub fn is_live(&self) -> bool {
        self.format == Format::Iso && self.medium != Medium::Installed
    }

    /// The hardware of the machine.
    pub fn hardware(&self) -> Hardware {
        let format = match self.medium {
            // The disk that the installer wrote to.
            Installed => DiskFormat::Qcow2,
            Disk | UsbStick | Cd => Hardware::of(self.format).format,
        };
        Hardware { format, interface: self.interface, nic: self.nic }
    }
}

/// An unknown name of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the matrix has no row {name:?}")]
pub struct UnknownRow {
    /// The name.
    pub name: String,
    /// A similarly named row.
    pub nearest: Option<&'static str>,
}

/// The rows with these names, in the matrix's order.
pub fn named(names: &[String]) -> Result<Vec<MatrixRow>, UnknownRow> {
    let known = ROWS.iter().map(|row| row.name);
    if let Some(name) = names.iter().find(|name| known.clone().all(|known| known != **name)) {
        return Err(UnknownRow { name: name.clone(), nearest: rave_spec::nearest(name, known) });
    }
    Ok(ROWS.iter().filter(|row| names.iter().any(|name| name == row.name)).copied().collect())
}

/// The rows of a format.
pub fn of(format: Format) -> impl Iterator<Item = MatrixRow> {
    ROWS.iter().filter(move |row| row.format == format).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_format_is_booted_with_its_hypervisors_hardware() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let has = |format, medium, firmware| {
            ROWS.iter().any(|row| (row.format, row.medium, row.firmware) == (format, medium, firmware))
        };
        for firmware in [Bios, Uefi] {
            assert!(has(Format::Qemu, Disk, firmware));
            for medium in [Disk, UsbStick] {
                assert!(has(Format::Raw, medium, firmware));
            }
            for medium in [Cd, UsbStick, Installed] {
                assert!(has(Format::Iso, medium, firmware));
            }
        }
        let buses: BTreeSet<&str> = ROWS.iter().map(|row| row.interface.as_str()).collect();
        let buses: Vec<&str> = buses.into_iter().collect();
        assert_eq!(buses, ["ahci", "lsi-sas", "nvme", "pvscsi", "sata-cd", "usb-storage", "virtio-blk"]);
        let cards: BTreeSet<&str> = ROWS.iter().map(|row| row.nic.as_str()).collect();
        assert_eq!(cards.into_iter().collect::<Vec<_>>(), ["e1000", "e1000e", "virtio-net", "vmxnet3"]);
    }

    #[test]
    fn the_first_row_of_every_format_needs_no_uefi() {
        for format in Format::ALL {
            assert_eq!(of(*format).next().unwrap().firmware, Bios, "{format}");
        }
    }

    #[test]
    fn rows_are_selected_by_name_in_their_order() {
        let names = |names: &[&str]| named(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let found = names(&["iso-cd-uefi", "qemu-uefi"]).unwrap();
        assert_eq!(found.iter().map(|row| row.name).collect::<Vec<_>>(), ["qemu-uefi", "iso-cd-uefi"]);
        assert_eq!(names(&["qemu-efi"]).unwrap_err().nearest, Some("qemu-uefi"));
        assert!(found[1].is_live() && !names(&["iso-installed-bios"]).unwrap()[0].is_live());
    }
}
