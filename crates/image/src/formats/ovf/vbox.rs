//! `vbox:Machine`: the machine in the format of VirtualBox's settings file, which its exports add to the descriptor and
//! its imports prefer. Only this part can contain NAT port forwards. It is defined in `VirtualBox-settings.xsd`.

use crate::formats::xml::Element;

/// The settings version that is written: that of VirtualBox 5.1. Newer versions, including 7, read it.
const VERSION: &str = "1.16-linux";

/// Protocol number of TCP in `Forwarding` (`NATProtocol` of VirtualBox's API).
const TCP: u8 = 1;

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VboxMachine {
    /// Its UUID.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// `OSType`: `Debian_64`.
    pub os_type: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Video memory, MiB.
    pub video_mib: u32,
    /// The UUID of the disk on its first SATA port, as in `vbox:uuid`.
    pub disk: String,
    /// NAT port forwards.
    pub forwards: Vec<NatForward>,
}

/// A TCP port of the host that leads into the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatForward {
    /// Its name, unique in the machine.
    pub name: String,
    /// The host's address that listens.
    pub host_address: String,
    /// The host's port.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
}

pub(super) fn render(machine: &VboxMachine) -> Element {
    let on = |name: &str| Element::new(name).attribute("enabled", true);
    let cpu = Element::new("CPU").attribute("count", machine.cpus);
    let cpu = cpu.children(["PAE", "LongMode", "X2APIC"].map(on));
    let order = |(position, device): (u8, &str)| {
        Element::new("Order").attribute("position", position).attribute("device", device)
    };
    let boot = [(1, "HardDisk"), (2, "None"), (3, "None"), (4, "None")].map(order);
    let display =
        Element::new("Display").attribute("controller", "VMSVGA").attribute("VRAMSize", machine.video_mib);
    // A tablet has absolute positions: the window does not grab the pointer.
    let input = Element::new("HID").attribute("Pointing", "USBTablet").attribute("Keyboard", "PS2Keyboard");
    let controller = Element::new("Controller").attribute("name", "OHCI").attribute("type", "OHCI");
    let usb = Element::new("USB").child(Element::new("Controllers").child(controller));
    let hardware = Element::new("Hardware")
        .child(cpu)
        .child(Element::new("Memory").attribute("RAMSize", machine.memory_mib))
        .child(Element::new("Firmware").attribute("type", "BIOS"))
        .child(input)
        .child(Element::new("Boot").children(boot))
        .child(display)
        .child(Element::new("BIOS").child(on("IOAPIC")))
        .child(usb)
        .child(Element::new("Network").child(adapter(&machine.forwards)))
        .child(Element::new("RTC").attribute("localOrUTC", "UTC"));
    Element::new("vbox:Machine")
        .attribute("ovf:required", false)
        .attribute("version", VERSION)
        .attribute("uuid", braced(&machine.uuid))
        .attribute("name", &machine.name)
        .attribute("OSType", &machine.os_type)
        .text_child("ovf:Info", "Complete VirtualBox machine configuration in VirtualBox format")
        .child(hardware)
        .child(Element::new("StorageControllers").child(storage(&machine.disk)))
}

/// `82540EM` is VirtualBox's name for E1000.
fn adapter(forwards: &[NatForward]) -> Element {
    let forward = |forward: &NatForward| {
        Element::new("Forwarding")
            .attribute("name", &forward.name)
            .attribute("proto", TCP)
            .attribute("hostip", &forward.host_address)
            .attribute("hostport", forward.host)
            .attribute("guestport", forward.guest)
    };
    Element::new("Adapter")
        .attribute("slot", 0)
        .attribute("enabled", true)
        .attribute("type", "82540EM")
        .child(Element::new("NAT").children(forwards.iter().map(forward)))
}

fn storage(disk: &str) -> Element {
    let device = Element::new("AttachedDevice")
        .attribute("type", "HardDisk")
        .attribute("hotpluggable", false)
        .attribute("port", 0)
        .attribute("device", 0)
        .child(Element::new("Image").attribute("uuid", braced(disk)));
    Element::new("StorageController")
        .attribute("name", "SATA")
        .attribute("type", "AHCI")
        .attribute("PortCount", 2)
        .attribute("useHostIOCache", false)
        .attribute("Bootable", true)
        .child(device)
}

fn braced(uuid: &str) -> String {
    format!("{{{uuid}}}")
}

fn bare(uuid: &str) -> String {
    uuid.strip_prefix('{').and_then(|uuid| uuid.strip_suffix('}')).unwrap_or(uuid).to_owned()
}

/// None if a mandatory part is missing.
pub(super) fn parse(element: &Element) -> Option<VboxMachine> {
    let hardware = element.first("Hardware")?;
    let number = |name: &str, attribute: &str| hardware.first(name)?.get(attribute)?.parse::<u64>().ok();
    let small = |name: &str, attribute: &str| u32::try_from(number(name, attribute)?).ok();
    let storage = element.first("StorageControllers").or_else(|| hardware.first("StorageControllers"))?;
    let adapters = hardware.first("Network").into_iter().flat_map(|network| network.all("Adapter"));
    let forwards = adapters.filter_map(|adapter| adapter.first("NAT")).flat_map(|nat| nat.all("Forwarding"));
    Some(VboxMachine {
        uuid: bare(element.get("uuid")?),
        name: element.get("name")?.to_owned(),
        os_type: element.get("OSType")?.to_owned(),
        cpus: small("CPU", "count").unwrap_or(1),
        memory_mib: number("Memory", "RAMSize")?,
        video_mib: small("Display", "VRAMSize")?,
        disk: bare(storage.first("StorageController")?.first("AttachedDevice")?.first("Image")?.get("uuid")?),
        forwards: forwards.filter_map(forward).collect(),
    })
}

fn forward(element: &Element) -> Option<NatForward> {
    Some(NatForward {
        name: element.get("name")?.to_owned(),
        host_address: element.get("hostip").unwrap_or_default().to_owned(),
        host: element.get("hostport")?.parse().ok()?,
        guest: element.get("guestport")?.parse().ok()?,
    })
}
