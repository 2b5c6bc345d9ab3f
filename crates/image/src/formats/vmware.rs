//! For VMware: a VMDK with a `.vmx` that Workstation and Fusion open, and an OVA for vSphere. Both have pvscsi and vmxnet3,
//! whose drivers are part of Linux, and start by BIOS.

use camino::Utf8Path;
use rave_spec::Format;

use super::ovf::resource::SCSI;
use super::ovf::{DEBIAN_64, Envelope, Item, OperatingSystem, VirtualSystem};
use super::virtualbox::{card, compute, disk, file, virtual_disk};
use super::{ExportSpec, Exporter, SourceDisk, ova, settle_vmdk, stage, vmdk_commands, vmdk_stream, vmx};
use crate::error::{Error, IoContext as _};

/// The version of the virtual hardware: Workstation 14, Fusion 10 and ESXi 6.7 are the first that have it.
pub const HARDWARE: u32 = 14;

/// The guest as a `.vmx` names it, and as an OVF does.
const GUEST: &str = "debian12-64";
const OVF_GUEST: &str = "debian12_64Guest";

/// Video memory for a desktop of 2560 x 1600 on two buffers, bytes.
const DESKTOP_VIDEO_BYTES: u64 = 64 << 20;

/// qemu-img's words for the VMDK.
pub fn commands(source: &SourceDisk, target: &Utf8Path, size: u64) -> Vec<Vec<String>> {
    vmdk_commands(source, target, size)
}

pub(super) fn make(exporter: &Exporter<'_>, folder: &Utf8Path) -> Result<(), Error> {
    let spec = &exporter.spec;
    let names = spec.file_names(Format::Vmware);
    let [disk, configuration, package] = &names[..] else { unreachable!("three files") };
    let target = folder.join(disk);
    exporter.run(stage(Format::Vmware), &commands(&exporter.source, &target, spec.size))?;
    settle_vmdk(&target, disk, &spec.identity)?;
    let place = folder.join(configuration);
    std::fs::write(&place, machine(spec).render()).at("write", &place)?;
    let stream = exporter.stream()?;
    let name = vmdk_stream::name(&spec.stem);
    let payload = ova::Payload { name: &name, path: &stream.path, sha256: stream.sha256 };
    let descriptor = descriptor(spec, stream.size).render();
    ova::write(&folder.join(package), &spec.stem, &descriptor, payload, spec.epoch)
}

/// The `.vmx` beside the VMDK.
pub fn machine(spec: &ExportSpec) -> vmx::Vmx {
    let appliance = &spec.appliance;
    let disk = vmx::VmxDisk {
        bus: vmx::Bus::Scsi("pvscsi".into()),
        controller: 0,
        unit: 0,
        file: spec.file_names(Format::Vmware).swap_remove(0),
    };
    vmx::Vmx {
        name: appliance.name.clone(),
        guest_os: GUEST.into(),
        hardware: HARDWARE,
        memory_mib: appliance.memory_mib,
        cpus: appliance.cpus,
        firmware: vmx::VmxFirmware::Bios,
        video_bytes: appliance.desktop.then_some(DESKTOP_VIDEO_BYTES),
        disks: vec![disk],
        cards: vec![vmx::Card { model: "vmxnet3".into(), connection: "nat".into() }],
    }
}

/// The descriptor of the OVA; `size` is that of the VMDK's file.
pub fn descriptor(spec: &ExportSpec, size: u64) -> Envelope {
    let appliance = &spec.appliance;
    let controller = Item {
        instance: "3".into(),
        name: "SCSI Controller 0".into(),
        kind: SCSI,
        model: Some("VirtualSCSI".into()),
        address: Some("0".into()),
        ..Item::default()
    };
    let os = OperatingSystem {
        id: DEBIAN_64,
        description: Some("Debian GNU/Linux 12 (64-bit)".into()),
        vbox: None,
        vmware: Some(OVF_GUEST.into()),
    };
    let mut items = compute(spec);
    items.extend([controller, disk("3"), card("VmxNet3", "VM Network")]);
    Envelope {
        files: vec![file(spec, size)],
        disks: vec![virtual_disk(spec)],
        networks: vec!["VM Network".into()],
        system: VirtualSystem {
            id: appliance.name.clone(),
            name: Some(appliance.name.clone()),
            system: Some(os),
            family: Some(format!("vmx-{HARDWARE}")),
            items,
            settings: vec![("firmware".into(), "bios".into())],
            machine: None,
        },
    }
}
