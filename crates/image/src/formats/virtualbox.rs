//! An OVA for VirtualBox: AHCI, E1000 on NAT, and VirtualBox's own description of the machine with the forwarded ports.

use camino::Utf8PathBuf;
use rave_spec::Format;

use super::definition::{ExportResult, FormatDef, Make, OutputFile, SizeEstimate, add_descriptor};
use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use super::ovf::hardware::{card, compute, disk, file, virtual_disk};
use super::ovf::resource::OTHER_STORAGE;
use super::ovf::{DEBIAN_64, Envelope, Item, OperatingSystem, VirtualDisk, VirtualSystem, vbox};
use super::{ova, vmdk_stream};
use crate::digest::Hasher;

/// VirtualBox's name for this machine family, since version 2.2.
const FAMILY: &str = "virtualbox-2.2";

/// The guest, in VirtualBox's list of systems.
const OS_TYPE: &str = "Debian_64";

/// Video memory, MiB: VirtualBox's own default for a Linux desktop, and enough for a text console.
const DESKTOP_VIDEO_MIB: u32 = 128;
const CONSOLE_VIDEO_MIB: u32 = 16;

/// The format.
pub(crate) const FORMAT: FormatDef = FormatDef {
    format: Format::Virtualbox,
    files: |_| &[OutputFile { ending: ".ova", size: SizeEstimate::CompressedData }],
    order: 0,
    add_to_key,
    make: Make::OfAnyDisk(make),
};

fn add_to_key(spec: &ExportSpec, hasher: &mut Hasher) {
    add_descriptor(hasher, &descriptor(spec, 0).render(), spec);
    hasher.field("stream", vmdk_stream::REVISION);
}

fn make(exporter: &Exporter<'_>, files: &[Utf8PathBuf]) -> ExportResult {
    let spec = &exporter.spec;
    let stream = exporter.stream()?;
    let name = vmdk_stream::name(&spec.stem);
    let payload = ova::Payload { name: &name, path: &stream.path, sha256: stream.sha256 };
    ova::write(&files[0], &spec.stem, &descriptor(spec, stream.size).render(), payload, spec.epoch)?;
    Ok(None)
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
