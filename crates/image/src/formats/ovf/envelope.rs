//! A descriptor as a value.

use super::{resource, units, vbox};

/// The `format` of a stream-optimised VMDK (VMware, Virtual Disk Format 5.0).
pub const STREAM_OPTIMISED: &str =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// A descriptor: the `Envelope` (DSP0243, 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `References` (7.1), in the order in which the files follow in an OVA (5.3).
    pub files: Vec<File>,
    /// `DiskSection` (9.1).
    pub disks: Vec<VirtualDisk>,
    /// `NetworkSection` (9.2): names.
    pub networks: Vec<String>,
    /// The one `VirtualSystem` (7.2).
    pub system: VirtualSystem,
}

/// A file beside the descriptor (7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// `ovf:id`
    pub id: String,
    /// `ovf:href`
    pub href: String,
    /// `ovf:size`, bytes.
    pub size: Option<u64>,
    /// `ovf:compression`: `gzip`; `identity` or absent for none.
    pub compression: Option<String>,
    /// `ovf:chunkSize`, bytes of each file that it is split into.
    pub chunk_size: Option<u64>,
}

/// A disk (9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualDisk {
    /// `ovf:diskId`
    pub id: String,
    /// `ovf:fileRef`: the id of its file; an empty disk has none.
    pub file: Option<String>,
    /// `ovf:capacity`, in units.
    pub capacity: u64,
    /// `ovf:capacityAllocationUnits`; bytes if absent.
    pub units: Option<String>,
    /// `ovf:format`, a URI.
    pub format: Option<String>,
    /// `vbox:uuid`: the identifier of this disk in VirtualBox's own part.
    pub uuid: Option<String>,
    /// `ovf:parentRef`: the id of the disk that this one differs from.
    pub parent: Option<String>,
}

/// A virtual machine (7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualSystem {
    /// `ovf:id`
    pub id: String,
    /// `Name`
    pub name: Option<String>,
    /// `OperatingSystemSection` (9.9).
    pub system: Option<OperatingSystem>,
    /// `vssd:VirtualSystemType` (8.1): `virtualbox-2.2`, `vmx-14`.
    pub family: Option<String>,
    /// The `Item`s of its `VirtualHardwareSection` (8.3).
    pub items: Vec<Item>,
    /// `vmw:Config` of that section: key and value.
    pub settings: Vec<(String, String)>,
    /// The machine in VirtualBox's own description.
    pub machine: Option<vbox::VboxMachine>,
}

/// The guest's operating system (9.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatingSystem {
    /// `ovf:id`, from the values of `CIM_OperatingSystem.OSType`.
    pub id: u16,
    /// `Description`
    pub description: Option<String>,
    /// `vbox:OSType`
    pub vbox: Option<String>,
    /// `vmw:osType`
    pub vmware: Option<String>,
}

/// `CIM_OperatingSystem.OSType`: Debian 64-Bit.
pub const DEBIAN_64: u16 = 96;

/// A piece of virtual hardware (8.3); the fields are those of `CIM_ResourceAllocationSettingData`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// `InstanceID`
    pub instance: String,
    /// `ElementName`
    pub name: String,
    /// `ResourceType`, see [`resource`].
    pub kind: u16,
    /// `ResourceSubType`: the model, such as `AHCI`.
    pub model: Option<String>,
    /// `VirtualQuantity`
    pub quantity: Option<u64>,
    /// `AllocationUnits` (DSP0004, annex C.1): `byte * 2^20`.
    pub units: Option<String>,
    /// `Address`
    pub address: Option<String>,
    /// `AddressOnParent`
    pub address_on_parent: Option<String>,
    /// `Parent`: the `InstanceID` of its controller.
    pub parent: Option<String>,
    /// `HostResource`: `ovf:/disk/ID`.
    pub host_resource: Option<String>,
    /// `Connection`: the name of a network.
    pub connection: Option<String>,
    /// `AutomaticAllocation`: whether it is connected when the machine starts.
    pub automatic: Option<bool>,
}

impl VirtualDisk {
    /// The capacity in bytes; none if the units are not understood. Without units it is in bytes.
    pub fn bytes(&self) -> Option<u64> {
        let factor = self.units.as_deref().map_or(Some(1), units::bytes)?;
        self.capacity.checked_mul(factor)
    }
}

impl VirtualSystem {
    /// The items of a kind.
    pub fn items_of(&self, kind: u16) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    /// The quantity of the first item of a kind.
    pub fn quantity(&self, kind: u16) -> Option<u64> {
        self.items_of(kind).find_map(|item| item.quantity)
    }

    /// Memory, MiB; none if it is not given, or in units that are not understood.
    pub fn memory_mib(&self) -> Option<u64> {
        let item = self.items_of(resource::MEMORY).find(|item| item.quantity.is_some())?;
        // Without units it is in MiB, as defined by the CIM class of these items.
        let factor = item.units.as_deref().map_or(Some(1 << 20), units::bytes)?;
        Some(item.quantity?.checked_mul(factor)? >> 20)
    }
}
