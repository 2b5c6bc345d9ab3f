//! The configuration of a machine for VMware Workstation, Fusion and ESXi: lines of `key = "value"`. VMware publishes no
//! grammar; the escapes are those that its products write: `|XX` is the byte with this hexadecimal value.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::parse_error::ParseError;

/// More lines than any configuration has.
const MOST_LINES: usize = 10_000;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vmx {
    /// `displayName`
    pub name: String,
    /// `guestOS`: `debian12-64`.
    pub guest_os: String,
    /// `virtualHW.version`
    pub hardware: u32,
    /// `memsize`, MiB.
    pub memory_mib: u64,
    /// `numvcpus`
    pub cpus: u32,
    /// `firmware`
    pub firmware: VmxFirmware,
    /// `svga.vramSize`, bytes.
    pub video_bytes: Option<u64>,
    /// Its disks.
    pub disks: Vec<VmxDisk>,
    /// Its network cards, from `ethernet0` on.
    pub cards: Vec<Card>,
}

/// The firmware of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmxFirmware {
    /// `bios`, also if it is not set.
    Bios,
    /// `efi`
    Efi,
}

/// A disk on a numbered controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmxDisk {
    /// The controller's kind.
    pub bus: Bus,
    /// The controller's number.
    pub controller: u8,
    /// The disk's number on it.
    pub unit: u8,
    /// Its VMDK.
    pub file: String,
}

/// A kind of controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// `scsiN` with its `virtualDev`: `pvscsi`, `lsilogic`.
    Scsi(String),
    /// `sataN`, AHCI.
    Sata,
    /// `nvmeN`
    Nvme,
    /// `ideN`
    Ide,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// `virtualDev`: `vmxnet3`, `e1000e`.
    pub model: String,
    /// `connectionType`: `nat`, `bridged`.
    pub connection: String,
}

impl Bus {
    fn prefix(&self) -> &'static str {
        match self {
            Self::Scsi(_) => "scsi",
            Self::Sata => "sata",
            Self::Nvme => "nvme",
            Self::Ide => "ide",
        }
    }
}

/// `svga.vramSize` and the PCI Express slots: without them the board has no slots for vmxnet3 and pvscsi.
const BOARD: &[(&str, &str)] = &[
    (".encoding", "UTF-8"),
    ("config.version", "8"),
    ("pciBridge0.present", "TRUE"),
    ("pciBridge4.present", "TRUE"),
    ("pciBridge4.virtualDev", "pcieRootPort"),
    ("pciBridge4.functions", "8"),
    ("pciBridge5.present", "TRUE"),
    ("pciBridge5.virtualDev", "pcieRootPort"),
    ("pciBridge5.functions", "8"),
    ("vmci0.present", "TRUE"),
    ("hpet0.present", "TRUE"),
    ("usb.present", "TRUE"),
    ("ehci.present", "TRUE"),
    ("floppy0.present", "FALSE"),
    ("svga.present", "TRUE"),
    // Without VMware's tools, the guest is shut down as if by its power button.
    ("powerType.powerOff", "soft"),
    ("powerType.reset", "soft"),
];

impl Vmx {
    /// As text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut put = |key: &str, value: &str| {
            let _ = writeln!(out, "{key} = \"{}\"", escaped(value));
        };
        for (key, value) in BOARD {
            put(key, value);
        }
        put("virtualHW.version", &self.hardware.to_string());
        put("displayName", &self.name);
        put("guestOS", &self.guest_os);
        put("firmware", if self.firmware == VmxFirmware::Efi { "efi" } else { "bios" });
        put("memsize", &self.memory_mib.to_string());
        put("numvcpus", &self.cpus.to_string());
        if let Some(bytes) = self.video_bytes {
            put("svga.vramSize", &bytes.to_string());
        }
        for disk in &self.disks {
            let controller = format!("{}{}", disk.bus.prefix(), disk.controller);
            put(&format!("{controller}.present"), "TRUE");
            if let Bus::Scsi(model) = &disk.bus {
                put(&format!("{controller}.virtualDev"), model);
            }
            let disk_key = format!("{controller}:{}", disk.unit);
            put(&format!("{disk_key}.present"), "TRUE");
            put(&format!("{disk_key}.fileName"), &disk.file);
        }
        for (number, card) in self.cards.iter().enumerate() {
            for (key, value) in [
                ("present", "TRUE"),
                ("virtualDev", card.model.as_str()),
                ("connectionType", card.connection.as_str()),
                ("addressType", "generated"),
            ] {
                put(&format!("ethernet{number}.{key}"), value);
            }
        }
        out
    }

    /// Parses a configuration. Mandatory keys must be present, others have VMware's defaults.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let entries = Entries::parse(text)?;
        let bad = |detail: String| ParseError::new("VMX configuration", detail);
        if let Some(key) =
            ["encryption.keysafe", "encryption.data"].into_iter().find(|key| entries.text(key).is_some())
        {
            return Err(bad(format!(
                "it is encrypted (it has {key}): remove the encryption in VMware, in the machine's access control, first"
            )));
        }
        if entries.text("config.version").is_none() {
            return Err(bad("it has no config.version".into()));
        }
        let hardware =
            entries.number("virtualhw.version").ok_or_else(|| bad("it has no virtualHW.version".into()))?;
        Ok(Self {
            name: entries.text("displayname").unwrap_or_default().to_owned(),
            guest_os: entries.text("guestos").unwrap_or("other").to_owned(),
            hardware,
            memory_mib: entries.number("memsize").unwrap_or(32),
            cpus: entries.number("numvcpus").unwrap_or(1),
            firmware: if entries.is("firmware", "efi") { VmxFirmware::Efi } else { VmxFirmware::Bios },
            video_bytes: entries.number("svga.vramsize"),
            disks: entries.disks(),
            cards: entries.cards(),
        })
    }
}

/// Keys in lower case, as VMware compares them.
struct Entries(BTreeMap<String, String>);

impl Entries {
    fn parse(text: &str) -> Result<Self, ParseError> {
        let mut entries = BTreeMap::new();
        for line in text.lines().take(MOST_LINES).map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let value = |(key, value): (&str, &str)| {
                let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
                Some((key.trim().to_lowercase(), unescaped(value)))
            };
            let entry = line.split_once('=').and_then(value);
            let (key, value) = entry.ok_or_else(|| {
                ParseError::new("VMX configuration", format!("{line:?} is not KEY = \"VALUE\""))
            })?;
            entries.insert(key, value);
        }
        Ok(Self(entries))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.text(key)?.parse().ok()
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.text(key).is_some_and(|found| found.eq_ignore_ascii_case(value))
    }

    /// `scsi0:1.filename`, if both controller and disk are present.
    fn disks(&self) -> Vec<VmxDisk> {
        let disk = |(key, file): (&String, &String)| {
            let place = key.strip_suffix(".filename")?;
            let (controller, unit) = place.split_once(':')?;
            let digits = controller.find(|c: char| c.is_ascii_digit())?;
            let bus = match &controller[..digits] {
                "scsi" => {
                    Bus::Scsi(self.text(&format!("{controller}.virtualdev")).unwrap_or("buslogic").to_owned())
                }
                "sata" => Bus::Sata,
                "nvme" => Bus::Nvme,
                "ide" => Bus::Ide,
                _ => return None,
            };
            let kind = self.text(&format!("{place}.devicetype")).unwrap_or("disk");
            let present =
                self.is(&format!("{place}.present"), "true") && !kind.to_lowercase().starts_with("cdrom");
            let (controller, unit) = (controller[digits..].parse().ok()?, unit.parse().ok()?);
            present.then(|| VmxDisk { bus, controller, unit, file: file.clone() })
        };
        self.0.iter().filter_map(disk).collect()
    }

    fn cards(&self) -> Vec<Card> {
        let card = |number: u32| {
            let entry = |key: &str| self.text(&format!("ethernet{number}.{key}"));
            self.is(&format!("ethernet{number}.present"), "true").then(|| Card {
                model: entry("virtualdev").unwrap_or("vlance").to_owned(),
                connection: entry("connectiontype").unwrap_or("bridged").to_owned(),
            })
        };
        // A machine has ten at most (VMware, Configuration Maximums).
        (0..10).filter_map(card).collect()
    }
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' | '|' | '\0'..='\x1f' => {
                let _ = write!(out, "|{:02X}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('|') {
        out.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        if let Some(byte) = byte {
            out.push(char::from(byte));
            rest = &after[2..];
        } else {
            out.push('|');
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn disk() -> impl Strategy<Value = (String, Bus)> {
        let bus = prop_oneof![
            "pvscsi|lsilogic".prop_map(Bus::Scsi),
            Just(Bus::Sata),
            Just(Bus::Nvme),
            Just(Bus::Ide)
        ];
        ("\\PC{0,20}", bus)
    }

    fn machine() -> impl Strategy<Value = Vmx> {
        let arguments =
            ("\\PC{0,20}", "[a-z0-9-]{1,12}", proptest::bool::ANY, proptest::option::of(any::<u64>()));
        let cards = proptest::collection::vec(("vmxnet3|e1000e", "nat|bridged"), 0..4);
        (arguments, any::<(u32, u64, u32)>(), proptest::option::of(disk()), cards).prop_map(
            |((name, guest_os, efi, video_bytes), (hardware, memory_mib, cpus), disk, cards)| Vmx {
                name,
                guest_os,
                hardware,
                memory_mib,
                cpus,
                firmware: if efi { VmxFirmware::Efi } else { VmxFirmware::Bios },
                video_bytes,
                disks: disk
                    .map(|(file, bus)| VmxDisk { bus, controller: 1, unit: 3, file })
                    .into_iter()
                    .collect(),
                cards: cards.into_iter().map(|(model, connection)| Card { model, connection }).collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn machines_round_trip(machine in machine()) {
            prop_assert_eq!(Vmx::parse(&machine.render()).unwrap(), machine);
        }

        #[test]
        fn garbage_is_refused(text in "(\\PC|\n|\"|=|\\|){0,200}") {
            let _ = Vmx::parse(&text);
            let _ = Vmx::parse(&format!("config.version = \"8\"\nvirtualHW.version = \"14\"\nscsi0:0.fileName = {text:?}"));
        }
    }

    #[test]
    fn files_of_other_programs_are_parsed() {
        let text = "#!/usr/bin/vmware\n.encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"19\"\n\
                    memSize = \"2048\"\nide1:0.present = \"TRUE\"\nide1:0.deviceType = \"cdrom-raw\"\n\
                    ide1:0.fileName = \"auto detect\"\nsata0:0.present=\"TRUE\"\nsata0:0.fileName=\"a|22.vmdk\"\n";
        let machine = Vmx::parse(text).unwrap();
        assert_eq!((machine.memory_mib, machine.cpus, machine.hardware), (2048, 1, 19));
        let disk = VmxDisk { bus: Bus::Sata, controller: 0, unit: 0, file: "a\".vmdk".into() };
        assert_eq!(machine.disks, [disk]);
    }
}
