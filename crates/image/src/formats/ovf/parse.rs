//! Parses a descriptor from XML, including those written by other programs.

use super::envelope::{Envelope, File, Item, OperatingSystem, VirtualDisk, VirtualSystem};
use super::vbox;
use crate::formats::xml::Element;

pub(super) fn envelope(document: &str) -> Result<Envelope, String> {
    let root = Element::parse(document)?;
    if root.name() != "Envelope" {
        return Err(format!("its root element is {}, not Envelope", root.name()));
    }
    let below = |section: &str, name: &str, read: fn(&Element) -> Option<_>| -> Vec<_> {
        root.first(section).into_iter().flat_map(|section| section.all(name)).filter_map(read).collect()
    };
    // A collection of machines is read as its first one (DSP0243, 7.2).
    let machine = root
        .first("VirtualSystem")
        .or_else(|| root.first("VirtualSystemCollection")?.first("VirtualSystem"))
        .ok_or("it has no VirtualSystem")?;
    let files = root.first("References").into_iter().flat_map(|section| section.all("File"));
    let networks = root.first("NetworkSection").into_iter().flat_map(|section| section.all("Network"));
    Ok(Envelope {
        files: files.filter_map(file).collect(),
        disks: below("DiskSection", "Disk", disk),
        networks: networks.filter_map(|network| network.get("name").map(str::to_owned)).collect(),
        system: system(machine),
    })
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn file(element: &Element) -> Option<File> {
    Some(File {
        id: owned(element.get("id"))?,
        href: owned(element.get("href"))?,
        size: element.get("size").and_then(|size| size.parse().ok()),
        compression: owned(element.get("compression")),
        chunk_size: element.get("chunkSize").and_then(|size| size.parse().ok()),
    })
}

fn disk(element: &Element) -> Option<VirtualDisk> {
    Some(VirtualDisk {
        id: owned(element.get("diskId"))?,
        file: owned(element.get("fileRef")),
        capacity: element.get("capacity")?.parse().ok()?,
        units: owned(element.get("capacityAllocationUnits")),
        format: owned(element.get("format")),
        uuid: owned(element.get("uuid")),
        parent: owned(element.get("parentRef")),
    })
}

fn system(element: &Element) -> VirtualSystem {
    let hardware = element.first("VirtualHardwareSection");
    let items = hardware.into_iter().flat_map(|section| section.all("Item"));
    let settings = hardware.into_iter().flat_map(|section| section.all("Config"));
    VirtualSystem {
        id: element.get("id").unwrap_or_default().to_owned(),
        name: owned(element.text_of("Name")),
        system: element.first("OperatingSystemSection").and_then(operating_system),
        family: owned(
            hardware
                .and_then(|section| section.first("System"))
                .and_then(|system| system.text_of("VirtualSystemType")),
        ),
        items: items.filter_map(item).collect(),
        settings: settings
            .filter_map(|setting| Some((owned(setting.get("key"))?, owned(setting.get("value"))?)))
            .collect(),
        machine: element.first("Machine").and_then(vbox::parse),
    }
}

fn operating_system(element: &Element) -> Option<OperatingSystem> {
    Some(OperatingSystem {
        id: element.get("id")?.parse().ok()?,
        description: owned(element.text_of("Description")),
        vbox: owned(element.text_of("OSType")),
        vmware: owned(element.get("osType")),
    })
}

fn item(element: &Element) -> Option<Item> {
    let text = |name: &str| owned(element.text_of(name));
    Some(Item {
        instance: text("InstanceID")?,
        name: text("ElementName").unwrap_or_default(),
        kind: element.text_of("ResourceType")?.trim().parse().ok()?,
        model: text("ResourceSubType"),
        quantity: element.text_of("VirtualQuantity").and_then(|number| number.trim().parse().ok()),
        units: text("AllocationUnits"),
        address: text("Address"),
        address_on_parent: text("AddressOnParent"),
        parent: text("Parent"),
        host_resource: text("HostResource"),
        connection: text("Connection"),
        automatic: element.text_of("AutomaticAllocation").and_then(|flag| flag.trim().parse().ok()),
    })
}
