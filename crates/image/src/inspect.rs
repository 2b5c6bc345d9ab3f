//! What an image of any format is, told by its bytes. Strangers' images are read too: what cannot be made out is listed as
//! a problem, and no other file that they name is opened.

mod disk_reader;
mod facts;
pub mod gpt;
mod guest_content;
mod iso9660;
mod manifest_match;
pub mod qcow2;
#[cfg(test)]
mod tests;

use std::fs::File;

use camino::Utf8Path;

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::formats::ova::{self, Member};
use crate::formats::ovf::{Envelope, resource};
use crate::formats::{Driver, vmdk, vmx, zst};
use disk_reader::{DiskReader, read_plain};
pub use facts::{
    DiskFacts, GuestContent, ImageKind, Inspection, IsoFacts, MachineFacts, OvaFacts, VmdkFacts, ZstFacts,
};
pub use manifest_match::ManifestMatch;

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At heads and tables.
    Tables,
    /// At every file of the root file system too.
    Files,
}

/// Looks at a file. Only what the system refuses is an error.
pub fn inspect(path: &Utf8Path, depth: Depth) -> Result<Inspection, Error> {
    let mut file = open(path)?;
    let size = file.metadata().at("read", path)?.len();
    let path = &crate::build::absolute(path)?;
    let head = read_plain(&file, 0, HEAD).at("read", path)?;
    let mut problems = Vec::new();
    let kind = kind(&mut file, &head, &mut problems);
    let disk = disk(&kind, path, &file, &mut problems);
    let name = path.file_name().unwrap_or_default().to_owned();
    let (manifest, expected) = manifest_match::compare(path, size);
    let image = guest_content::InspectedImage { path, file: &file, kind: &kind, disk: disk.as_ref() };
    let content = match depth {
        Depth::Tables => GuestContent::NotLookedAt,
        Depth::Files => image.content(expected)?,
    };
    Ok(Inspection { file: name, size, kind, disk, manifest, content, problems })
}

/// Opens a regular file: a pipe would wait for its other end, and a device has no end.
fn open(path: &Utf8Path) -> Result<File, Error> {
    if std::fs::metadata(path).at("open", path)?.is_file() {
        File::open(path).at("open", path)
    } else {
        Err(Error::Input { what: path.to_string(), detail: "it is no regular file".into() })
    }
}

/// Where the disk lies that a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskLocation {
    /// The file is the disk, written like this.
    Whole(Driver),
    /// The file is a raw disk, compressed.
    Compressed,
    /// A member of the file is a VMDK.
    Member(Member),
}

/// Where the disk lies that a file holds, and the disk's size in bytes; for what can be converted.
pub(crate) fn disk_in(path: &Utf8Path) -> Result<(DiskLocation, u64), Error> {
    let mut file = open(path)?;
    let head = read_plain(&file, 0, HEAD).at("read", path)?;
    let refuse = |detail: String| Error::Input { what: path.to_string(), detail };
    let (location, size) = if head.starts_with(&qcow2::MAGIC) {
        let header = qcow2::Header::parse(&head).map_err(|why| refuse(format!("a damaged qcow2: {why}")))?;
        (DiskLocation::Whole(Driver::Qcow2), header.virtual_size)
    } else if head.starts_with(&vmdk::MAGIC) {
        (DiskLocation::Whole(Driver::Vmdk), alone(&file, 0).map_err(refuse)?)
    } else if head.starts_with(&zst::MAGIC) {
        let frames = zst::frames(&mut file).map_err(|error| refuse(error.to_string()))?;
        let unknown = "it does not say how large the disk is; unpack it first: zstd -d --sparse";
        (DiskLocation::Compressed, frames.content.ok_or_else(|| refuse(unknown.into()))?)
    } else if is_tar(&head) {
        let member = ova::locate_disk(path)?;
        let size = alone(&file, member.offset).map_err(refuse)?;
        (DiskLocation::Member(member), size)
    } else {
        (DiskLocation::Whole(Driver::Raw), file.metadata().at("read", path)?.len())
    };
    match size {
        0 => Err(refuse("it is empty".into())),
        LARGEST.. => Err(refuse(format!("{} TiB is larger than any disk of a guest", size >> 40))),
        // A disk may end within a sector; no format but raw can.
        size => Ok((location, size.next_multiple_of(512))),
    }
}

/// No disk has as many bytes: ext4 fills 16 TiB.
const LARGEST: u64 = 64 << 40;

/// Bytes that are read of every file: an ISO's volume descriptors end there (ECMA-119, 6.2.1: from sector 16 on).
const HEAD: u64 = 20 * 2048;

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn kind(file: &mut File, head: &[u8], problems: &mut Vec<String>) -> ImageKind {
    if head.starts_with(&qcow2::MAGIC) {
        match qcow2::Header::parse(head) {
            Ok(header) => return ImageKind::Qcow2(header),
            Err(why) => problems.push(format!("no sound qcow2: {why}")),
        }
    } else if head.starts_with(&vmdk::MAGIC) {
        match vmdk::read(file, 0) {
            Ok((header, descriptor)) => return ImageKind::Vmdk(vmdk_facts(&header, &descriptor)),
            Err(error) => problems.push(error.to_string()),
        }
    } else if head.starts_with(&zst::MAGIC) {
        match zst::frames(file) {
            Ok(zst::Frames { count, content, head }) => {
                return ImageKind::Zst(ZstFacts { frames: count, head, content });
            }
            Err(error) => problems.push(error.to_string()),
        }
    } else if is_tar(head) {
        match ova::members(file) {
            Ok(members) => return ImageKind::Ova(ova_facts(file, &members, problems)),
            Err(error) => problems.push(format!("no sound archive: {error}")),
        }
    } else if head.get(0x8001..0x8006) == Some(b"CD001") {
        return ImageKind::Iso(iso_facts(head));
    } else if head.get(510..512) == Some(&[0x55, 0xaa]) {
        return ImageKind::Raw;
    } else if let Some(kind) = descriptor(file, head, problems) {
        return kind;
    }
    ImageKind::Unknown
}

fn vmdk_facts(header: &vmdk::Header, descriptor: &vmdk::Descriptor) -> VmdkFacts {
    VmdkFacts {
        kind: descriptor.kind.clone(),
        cid: format!("{:08x}", descriptor.cid),
        version: header.version,
    }
}

pub(crate) fn iso_facts(head: &[u8]) -> IsoFacts {
    let text = |range: std::ops::Range<usize>| {
        String::from_utf8_lossy(head.get(range).unwrap_or_default()).trim().to_owned()
    };
    // El Torito 1.0, figure 7: the boot record is in sector 17.
    IsoFacts { volume: text(0x8028..0x8048), boots_as_cd: text(0x8807..0x881e) == "EL TORITO SPECIFICATION" }
}

/// OVF and VMX are texts.
fn descriptor(file: &File, head: &[u8], problems: &mut Vec<String>) -> Option<ImageKind> {
    let start = String::from_utf8_lossy(head);
    let (is_xml, is_vmx) = (start.trim_start().starts_with("<?xml"), start.contains("config.version"));
    if !is_xml && !is_vmx {
        return None;
    }
    let size = file.metadata().ok()?.len();
    let whole = Member { name: String::new(), offset: 0, size };
    let text = ova::text(&mut file.try_clone().ok()?, &whole).ok()?;
    let facts = if is_xml {
        Envelope::parse(&text).map(|envelope| ImageKind::Ovf(envelope_facts(&envelope)))
    } else {
        vmx::Vmx::parse(&text).map(|machine| ImageKind::Vmx(vmx_facts(&machine)))
    };
    facts.map_err(|error| problems.push(error.to_string())).ok()
}

fn ova_facts(file: &mut File, members: &[Member], problems: &mut Vec<String>) -> OvaFacts {
    let with = |extension: &str| {
        members.iter().find(|member| Utf8Path::new(&member.name).extension() == Some(extension))
    };
    let mut machine = None;
    match with("ovf").map(|member| ova::text(file, member)) {
        Some(Ok(text)) => match Envelope::parse(&text) {
            Ok(envelope) => machine = Some(envelope_facts(&envelope)),
            Err(error) => problems.push(error.to_string()),
        },
        Some(Err(error)) => problems.push(format!("its descriptor cannot be read: {error}")),
        None => problems.push("it holds no .ovf".into()),
    }
    let mut digests_hold = 0;
    if let Some(Ok(text)) = with("mf").map(|member| ova::text(file, member)) {
        match ova::parse_digests(&text) {
            Ok(lines) => {
                for line in lines {
                    match check_digest(file, members, &line) {
                        Ok(()) => digests_hold += 1,
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    OvaFacts { files: members.iter().map(|member| member.name.clone()).collect(), machine, digests_hold }
}

fn check_digest(file: &mut File, members: &[Member], line: &ova::DigestLine) -> Result<(), String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let name = &line.name;
    if line.algorithm != "SHA256" {
        return Err(format!("the {} of {name} is not checked", line.algorithm));
    }
    let member = members
        .iter()
        .find(|member| member.name == *name)
        .ok_or_else(|| format!("{name} is in its .mf and not in the archive"))?;
    file.seek(SeekFrom::Start(member.offset)).map_err(|error| error.to_string())?;
    let found = Digest::of_reader(file.take(member.size)).map_err(|error| error.to_string())?;
    if found.to_string().eq_ignore_ascii_case(&line.digits) {
        Ok(())
    } else {
        Err(format!("the SHA-256 of {name} is {found}, its .mf says {}", line.digits))
    }
}

fn envelope_facts(envelope: &Envelope) -> MachineFacts {
    let system = &envelope.system;
    let models = |kinds: &[u16]| {
        let items = system.items.iter().filter(|item| kinds.contains(&item.kind));
        items.map(|item| item.model.clone().unwrap_or_else(|| item.name.clone())).collect()
    };
    let guest = system
        .system
        .as_ref()
        .map(|os| os.vbox.clone().or_else(|| os.vmware.clone()).unwrap_or_else(|| os.id.to_string()));
    let forwards = system.machine.iter().flat_map(|machine| &machine.forwards);
    MachineFacts {
        name: system.name.clone().unwrap_or_else(|| system.id.clone()),
        family: system.family.clone().unwrap_or_default(),
        guest: guest.unwrap_or_default(),
        cpus: system.quantity(resource::PROCESSOR),
        memory_mib: system.quantity(resource::MEMORY),
        controllers: models(&[resource::SCSI, resource::OTHER_STORAGE]),
        cards: models(&[resource::ETHERNET]),
        forwards: forwards
            .map(|one| format!("{} {}:{} -> {}", one.name, one.host_address, one.host, one.guest))
            .collect(),
    }
}

fn vmx_facts(machine: &vmx::Vmx) -> MachineFacts {
    let controller = |disk: &vmx::VmxDisk| match &disk.bus {
        vmx::Bus::Scsi(model) => model.clone(),
        vmx::Bus::Sata => "sata".into(),
        vmx::Bus::Nvme => "nvme".into(),
        vmx::Bus::Ide => "ide".into(),
    };
    MachineFacts {
        name: machine.name.clone(),
        family: format!("vmx-{}", machine.hardware),
        guest: machine.guest_os.clone(),
        cpus: Some(machine.cpus.into()),
        memory_mib: Some(machine.memory_mib),
        controllers: machine.disks.iter().map(controller).collect(),
        cards: machine.cards.iter().map(|card| card.model.clone()).collect(),
        forwards: Vec::new(),
    }
}

fn disk(kind: &ImageKind, path: &Utf8Path, file: &File, problems: &mut Vec<String>) -> Option<DiskFacts> {
    match kind {
        ImageKind::Raw | ImageKind::Iso(_) => {
            let size = file.metadata().ok()?.len();
            Some(facts(&DiskReader::Plain(file), size, problems))
        }
        ImageKind::Zst(found) => {
            let head = zst::head(file, found.head).map_err(|error| problems.push(error.to_string())).ok()?;
            Some(facts(&DiskReader::Start(&head), found.content.unwrap_or(head.len() as u64), problems))
        }
        ImageKind::Qcow2(header) if header.needs_another_file => {
            problems.push("it needs another file, which was not opened: its content is not looked at".into());
            None
        }
        ImageKind::Qcow2(header) => {
            let content = DiskReader::whole(path, "qcow2", header.virtual_size);
            Some(facts(&content, header.virtual_size, problems))
        }
        ImageKind::Vmdk(_) => {
            let size = standalone(file, 0, problems)?;
            Some(facts(&DiskReader::whole(path, "vmdk", size), size, problems))
        }
        ImageKind::Ova(_) => {
            let members = ova::members(&mut file.try_clone().ok()?).ok()?;
            let Some(member) = ova::disk(&members) else {
                problems.push("it holds no VMDK".into());
                return None;
            };
            let size = standalone(file, member.offset, problems)?;
            Some(facts(&DiskReader::inside(path, member, size), size, problems))
        }
        ImageKind::Ovf(_) | ImageKind::Vmx(_) | ImageKind::Unknown => None,
    }
}

/// The size of a VMDK's disk, bytes, where all of it lies in this file.
fn standalone(file: &File, offset: u64, problems: &mut Vec<String>) -> Option<u64> {
    alone(file, offset).map_err(|problem| problems.push(problem)).ok()
}

fn alone(file: &File, offset: u64) -> Result<u64, String> {
    let (header, descriptor) = vmdk::read(file, offset).map_err(|error| error.to_string())?;
    let whole = ["monolithicSparse", "streamOptimized"].contains(&descriptor.kind.as_str());
    if !whole || descriptor.parent_cid != vmdk::NO_PARENT || descriptor.extents.len() != 1 {
        return Err("it needs another file, which was not opened: its content is not looked at".into());
    }
    header.bytes().ok_or_else(|| "its header gives no sensible size".into())
}

fn facts(content: &DiskReader<'_>, virtual_size: u64, problems: &mut Vec<String>) -> DiskFacts {
    let mut facts = DiskFacts { virtual_size, table: None, bios_loader: None, uefi_loader: false };
    if let Err(problem) = look_into(content, &mut facts) {
        problems.push(format!("its content cannot be read: {problem}"));
    }
    if facts.table.as_ref().is_some_and(|table| !table.intact) {
        problems.push("a check sum of its partition table is wrong".into());
    }
    facts
}

fn look_into(content: &DiskReader<'_>, facts: &mut DiskFacts) -> Result<(), String> {
    let start = content.read(0, 4096)?;
    facts.bios_loader = bios_loader(&start);
    let sector = start.get(512..1024).unwrap_or_default();
    let Some(header) = gpt::Header::parse(sector) else { return Ok(()) };
    let table = header.table(&content.read(header.entries, header.length)?);
    if let Some(esp) = table.partitions.iter().find(|partition| partition.type_guid == gpt::ESP) {
        facts.uefi_loader = has_uefi_loader(&content.read(esp.start, esp.size.min(ESP_LOOK))?);
    }
    facts.table = Some(table);
    Ok(())
}

/// The boot code of an MBR (UEFI specification 2.10, table 5.1: 440 bytes), by the names that loaders leave in it.
fn bios_loader(start: &[u8]) -> Option<String> {
    let code = start.get(..440)?;
    let signed = start.get(510..512) == Some(&[0x55, 0xaa]);
    if !signed || code.iter().all(|byte| *byte == 0) {
        return None;
    }
    let holds = |name: &str| code.windows(name.len()).any(|window| window == name.as_bytes());
    let name = ["GRUB", "SYSLINUX", "isolinux", "Limine"].into_iter().find(|name| holds(name));
    Some(name.unwrap_or("unknown").to_owned())
}

/// Bytes of an ESP that are searched: its tables and first folders.
const ESP_LOOK: u64 = 4 << 20;

/// Whether a folder has an entry `BOOTX64.EFI`, as FAT writes it (Microsoft FAT specification 1.03, page 23), where UEFI
/// looks on a disk that it does not know (UEFI specification 2.10, 3.5.1.1).
fn has_uefi_loader(esp: &[u8]) -> bool {
    esp.chunks_exact(32).any(|entry| &entry[..11] == b"BOOTX64 EFI")
}
