//! Renders a descriptor as XML. The order of elements within a section is that of its schema.

use super::envelope::{Envelope, Item, OperatingSystem, VirtualDisk, VirtualSystem};
use super::vbox;
use crate::formats::xml::Element;

/// Prefixes and namespaces: DSP8023 (envelope), DSP0004's CIM schemas, those of VMware and VirtualBox.
const NAMESPACES: &[(&str, &str)] = &[
    ("xmlns", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:rasd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"),
    ("xmlns:vssd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"),
    ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
    ("xmlns:vbox", "http://www.virtualbox.org/ovf/machine"),
    ("xmlns:vmw", "http://www.vmware.com/schema/ovf"),
];

pub(super) fn envelope(envelope: &Envelope) -> Element {
    let root = Element::new("Envelope").attribute("ovf:version", "1.0").attribute("xml:lang", "en-US");
    let root = NAMESPACES.iter().fold(root, |root, (name, uri)| root.attribute(name, uri));
    let files = envelope.files.iter().map(|file| {
        Element::new("File")
            .attribute("ovf:href", &file.href)
            .attribute("ovf:id", &file.id)
            .attribute_if("ovf:size", file.size)
            .attribute_if("ovf:compression", file.compression.as_ref())
            .attribute_if("ovf:chunkSize", file.chunk_size)
    });
    let network = |name: &String| {
        Element::new("Network")
            .attribute("ovf:name", name)
            .text_child("Description", "Logical network used by this appliance")
    };
    root.child(Element::new("References").children(files))
        .child(section("DiskSection", "List of the virtual disks").children(envelope.disks.iter().map(disk)))
        .child(
            section("NetworkSection", "List of the logical networks")
                .children(envelope.networks.iter().map(network)),
        )
        .child(system(&envelope.system))
}

/// Every section starts with its `Info` (DSP0243, 7.2).
fn section(name: &str, info: &str) -> Element {
    Element::new(name).text_child("Info", info)
}

fn disk(disk: &VirtualDisk) -> Element {
    Element::new("Disk")
        .attribute("ovf:capacity", disk.capacity)
        .attribute_if("ovf:capacityAllocationUnits", disk.units.as_ref())
        .attribute("ovf:diskId", &disk.id)
        .attribute_if("ovf:fileRef", disk.file.as_ref())
        .attribute_if("ovf:format", disk.format.as_ref())
        .attribute_if("vbox:uuid", disk.uuid.as_ref())
        .attribute_if("ovf:parentRef", disk.parent.as_ref())
}

fn system(system: &VirtualSystem) -> Element {
    Element::new("VirtualSystem")
        .attribute("ovf:id", &system.id)
        .text_child("Info", "A virtual machine")
        .text_child_if("Name", system.name.as_ref())
        .children(system.system.as_ref().map(operating_system))
        .child(hardware(system))
        .children(system.machine.as_ref().map(vbox::render))
}

fn operating_system(system: &OperatingSystem) -> Element {
    Element::new("OperatingSystemSection")
        .attribute("ovf:id", system.id)
        .attribute_if("vmw:osType", system.vmware.as_ref())
        .text_child("Info", "The kind of installed guest operating system")
        .text_child_if("Description", system.description.as_ref())
        .children(
            system
                .vbox
                .as_ref()
                .map(|name| Element::with_text("vbox:OSType", name).attribute("ovf:required", false)),
        )
}

fn hardware(system: &VirtualSystem) -> Element {
    let family = Element::new("System")
        .text_child("vssd:ElementName", "Virtual Hardware Family")
        .text_child("vssd:InstanceID", 0)
        .text_child("vssd:VirtualSystemIdentifier", &system.id)
        .text_child_if("vssd:VirtualSystemType", system.family.as_ref());
    let settings = system.settings.iter().map(|(key, value)| {
        Element::new("vmw:Config")
            .attribute("ovf:required", false)
            .attribute("vmw:key", key)
            .attribute("vmw:value", value)
    });
    section("VirtualHardwareSection", "Virtual hardware requirements")
        .child(family)
        .children(system.items.iter().map(item))
        .children(settings)
}

/// DSP0243, 8.3: the properties in alphabetical order, as in its schema.
fn item(item: &Item) -> Element {
    Element::new("Item")
        .text_child_if("rasd:Address", item.address.as_ref())
        .text_child_if("rasd:AddressOnParent", item.address_on_parent.as_ref())
        .text_child_if("rasd:AllocationUnits", item.units.as_ref())
        .text_child_if("rasd:AutomaticAllocation", item.automatic)
        .text_child_if("rasd:Connection", item.connection.as_ref())
        .text_child("rasd:ElementName", &item.name)
        .text_child_if("rasd:HostResource", item.host_resource.as_ref())
        .text_child("rasd:InstanceID", &item.instance)
        .text_child_if("rasd:Parent", item.parent.as_ref())
        .text_child_if("rasd:ResourceSubType", item.model.as_ref())
        .text_child("rasd:ResourceType", item.kind)
        .text_child_if("rasd:VirtualQuantity", item.quantity)
}
