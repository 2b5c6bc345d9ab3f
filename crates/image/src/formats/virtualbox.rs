//! An OVA for VirtualBox: AHCI, E1000 on NAT, its own description of the machine with the forwarded ports.

use camino::Utf8Path;
use rave_spec::Format;

use super::ovf::resource::{DISK, ETHERNET, MEMORY, OTHER_STORAGE, PROCESSOR};
use super::ovf::{
    DEBIAN_64, Envelope, File, Item, OperatingSystem, STREAM_OPTIMISED, VirtualDisk, VirtualSystem, vbox,
};
use super::{ExportSpec, Exporter, ova, vmdk_stream};
use crate::error::Error;

/// What VirtualBox calls this family of machines, since its version 2.2.
const FAMILY: &str = "virtualbox-2.2";

/// The guest, in VirtualBox's list of systems.
const OS_TYPE: &str = "Debian_64";

/// Video memory, MiB: what VirtualBox itself proposes for a Linux with a screen to draw, and enough for a text console.
const DESKTOP_VIDEO_MIB: u32 = 128;
const CONSOLE_VIDEO_MIB: u32 = 16;

pub(super) fn make(exporter: &Exporter<'_>, folder: &Utf8Path) -> Result<(), Error> {
    let spec = &exporter.spec;
    let stream = exporter.stream()?;
    let target = folder.join(&spec.file_names(Format::Virtualbox)[0]);
    let name = vmdk_stream::name(&spec.stem);
    let payload = ova::Payload { name: &name, path: &stream.path, sha256: stream.sha256 };
    ova::write(&target, &spec.stem, &descriptor(spec, stream.size).render(), payload, spec.epoch)
}

/// The descriptor; `size` is that of the VMDK's file.
pub fn descriptor(spec: &ExportSpec, size: u64) -> Envelope {
    let appliance = &spec.appliance;
    let disk_uuid = spec.identity.uuid("virtualbox-disk");
    let controller = Item {
        instance: "3".into(),
        name: "SATA Controller".into(),
        kind: OTHER_STORAGE,
        model: Some("AHCI".into()),
        address: Some("0".into()),
        ..Item::default()
    };
    let machine = vbox::VboxMachine {
        uuid: spec.identity.uuid("virtualbox-machine"),
        name: appliance.name.clone(),
        os_type: OS_TYPE.into(),
        cpus: appliance.cpus,
        memory_mib: appliance.memory_mib,
        video_mib: if appliance.desktop { DESKTOP_VIDEO_MIB } else { CONSOLE_VIDEO_MIB },
        disk: disk_uuid.clone(),
        forwards: appliance.forwards.clone(),
    };
    let os = OperatingSystem {
        id: DEBIAN_64,
        description: Some("Debian (64-bit)".into()),
        vbox: Some(OS_TYPE.into()),
        vmware: None,
    };
    let mut items = compute(spec);
    items.extend([controller, disk("3"), card("E1000", "NAT")]);
    Envelope {
        disks: vec![VirtualDisk { uuid: Some(disk_uuid), ..virtual_disk(spec) }],
        networks: vec!["NAT".into()],
        system: VirtualSystem {
            id: appliance.name.clone(),
            name: Some(appliance.name.clone()),
            system: Some(os),
            family: Some(FAMILY.into()),
            items,
            settings: Vec::new(),
            machine: Some(machine),
        },
        files: vec![file(spec, size)],
    }
}

/// The VMDK in the package.
pub(super) fn file(spec: &ExportSpec, size: u64) -> File {
    File { id: "file1".into(), href: vmdk_stream::name(&spec.stem), size: Some(size) }
}

pub(super) fn virtual_disk(spec: &ExportSpec) -> VirtualDisk {
    VirtualDisk {
        id: "vmdisk1".into(),
        file: Some("file1".into()),
        capacity: spec.size,
        units: Some("byte".into()),
        format: Some(STREAM_OPTIMISED.into()),
        uuid: None,
    }
}

/// Processors and memory.
pub(super) fn compute(spec: &ExportSpec) -> Vec<Item> {
    let ExportSpec { appliance, .. } = spec;
    let processors = Item {
        instance: "1".into(),
        name: format!("{} virtual CPU(s)", appliance.cpus),
        kind: PROCESSOR,
        quantity: Some(appliance.cpus.into()),
        units: Some("hertz * 10^6".into()),
        ..Item::default()
    };
    let memory = Item {
        instance: "2".into(),
        name: format!("{} MB of memory", appliance.memory_mib),
        kind: MEMORY,
        quantity: Some(appliance.memory_mib),
        units: Some("byte * 2^20".into()),
        ..Item::default()
    };
    vec![processors, memory]
}

/// The disk on the first place of a controller.
pub(super) fn disk(controller: &str) -> Item {
    Item {
        instance: "4".into(),
        name: "Hard Disk 1".into(),
        kind: DISK,
        host_resource: Some("ovf:/disk/vmdisk1".into()),
        parent: Some(controller.into()),
        address_on_parent: Some("0".into()),
        ..Item::default()
    }
}

/// A network card of a model on a network of the descriptor.
pub(super) fn card(model: &str, network: &str) -> Item {
    Item {
        instance: "5".into(),
        name: format!("{model} ethernet adapter on '{network}'"),
        kind: ETHERNET,
        model: Some(model.into()),
        connection: Some(network.into()),
        address_on_parent: Some("7".into()),
        automatic: Some(true),
        ..Item::default()
    }
}
