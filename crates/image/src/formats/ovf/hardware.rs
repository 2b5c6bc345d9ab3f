//! The hardware and the disk in every descriptor that is written here.

use super::envelope::{File, Item, STREAM_OPTIMISED, VirtualDisk};
use super::resource::{DISK, ETHERNET, MEMORY, PROCESSOR};
use crate::formats::export_spec::ExportSpec;
use crate::formats::vmdk_stream;

/// The VMDK in the package.
pub(crate) fn file(spec: &ExportSpec, size: u64) -> File {
    let href = vmdk_stream::name(&spec.stem);
    File { id: "file1".into(), href, size: Some(size), compression: None, chunk_size: None }
}

pub(crate) fn virtual_disk(spec: &ExportSpec) -> VirtualDisk {
    VirtualDisk {
        id: "vmdisk1".into(),
        file: Some("file1".into()),
        capacity: spec.size,
        units: Some("byte".into()),
        format: Some(STREAM_OPTIMISED.into()),
        uuid: None,
        parent: None,
    }
}

/// Processors and memory.
pub(crate) fn compute(spec: &ExportSpec) -> Vec<Item> {
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

/// The disk at the first slot of a controller.
pub(crate) fn disk(controller: &str) -> Item {
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
pub(crate) fn card(model: &str, network: &str) -> Item {
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
