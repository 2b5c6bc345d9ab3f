//! For VMware: a VMDK with a `.vmx` that Workstation and Fusion open, and an OVA for vSphere. Both have pvscsi and
//! vmxnet3, whose drivers are part of Linux, and boot with BIOS.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::Format;

use super::definition::{
    ExportResult, FormatDef, Make, OutputFile, SizeEstimate, add_arguments, add_descriptor,
};
use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use super::ovf::hardware::{card, compute, disk, file, virtual_disk};
use super::ovf::resource::SCSI;
use super::ovf::{DEBIAN_64, Envelope, Item, OperatingSystem, VirtualSystem};
use super::source_disk::SourceDisk;
use super::vmdk::HARDWARE;
use super::{ova, vmdk, vmdk_stream, vmx};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};

/// The guest's system in a `.vmx`, and in an OVF.
const GUEST: &str = "debian12-64";
const OVF_GUEST: &str = "debian12_64Guest";

/// Video memory for a desktop of 2560 x 1600 with two buffers, bytes.
const DESKTOP_VIDEO_BYTES: u64 = 64 << 20;

/// The format.
pub(crate) const FORMAT: FormatDef = FormatDef {
    format: Format::Vmware,
    files: |_| {
        &[
            OutputFile { ending: ".vmdk", size: SizeEstimate::Data },
            OutputFile { ending: ".vmx", size: SizeEstimate::Small },
            OutputFile { ending: "-vmware.ova", size: SizeEstimate::CompressedData },
        ]
    },
    order: 4,
    add_to_key,
    make: Make::OfAnyDisk(make),
};

fn add_to_key(spec: &ExportSpec, hasher: &mut Hasher) {
    add_arguments(hasher, &commands(&SourceDisk::nowhere(), "".into(), spec.size));
    add_descriptor(hasher, &descriptor(spec, 0).render(), spec);
    add_descriptor(hasher, &machine(spec).render(), spec);
    hasher.field("stream", vmdk_stream::REVISION);
}

fn make(exporter: &Exporter<'_>, files: &[Utf8PathBuf]) -> ExportResult {
    let [disk, configuration, package] = files else { unreachable!("three files") };
    let spec = &exporter.spec;
    let commands = commands(&exporter.source, disk, spec.size);
    exporter.stages.run_all(FORMAT.format.as_str(), &commands)?;
    settle(disk, &spec.identity)?;
    fs::write(configuration, machine(spec).render()).at("write", configuration)?;
    let stream = exporter.stream()?;
    let name = vmdk_stream::name(&spec.stem);
    let payload = ova::Payload { name: &name, path: &stream.path, sha256: stream.sha256 };
    ova::write(package, &spec.stem, &descriptor(spec, stream.size).render(), payload, spec.epoch)?;
    Ok(None)
}

/// qemu-img's commands for a sparse VMDK of the full size: the source is read through an overlay of that size, because
/// a VMDK cannot be resized. The added part takes no space.
pub(super) fn commands(source: &SourceDisk, target: &Utf8Path, size: u64) -> Vec<Vec<String>> {
    let overlay = overlay(target);
    let size = size.to_string();
    // pvscsi too is `lsilogic` in a VMDK. The version is that of the target machines.
    let options = format!("subformat=monolithicSparse,adapter_type=lsilogic,hwversion={HARDWARE}");
    let create = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        source.path.as_str(),
        overlay.as_str(),
        &size,
    ];
    let convert = [
        "qemu-img",
        "convert",
        "-f",
        "qcow2",
        "-O",
        "vmdk",
        "-o",
        &options,
        overlay.as_str(),
        target.as_str(),
    ];
    vec![create.map(String::from).to_vec(), convert.map(String::from).to_vec()]
}

fn overlay(target: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{target}.overlay"))
}

/// Removes temporary files of [`commands`], and fixes the header of their result.
fn settle(target: &Utf8Path, identity: &Digest) -> Result<(), Error> {
    let overlay = overlay(target);
    fs::remove_file(&overlay).at("remove", &overlay)?;
    vmdk::settle(target, target.file_name().unwrap_or_default(), vmdk::content_id(identity))
}

/// The `.vmx` beside the VMDK.
pub fn machine(spec: &ExportSpec) -> vmx::Vmx {
    let appliance = &spec.appliance;
    let disk = vmx::VmxDisk {
        bus: vmx::Bus::Scsi("pvscsi".into()),
        controller: 0,
        unit: 0,
        file: FORMAT.file_names(&spec.stem, spec.compress).swap_remove(0),
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
