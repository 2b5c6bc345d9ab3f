//! Describes an image of any format by its bytes. Untrusted images are read too: what cannot be determined is listed as
//! a problem, and no other file that they refer to is opened.

mod disk_reader;
mod facts;
pub mod gpt;
mod guest_content;
mod iso9660;
mod loaders;
mod manifest_match;
pub mod mbr;
mod packages;
mod packed;
mod remarks;
#[cfg(test)]
mod tests;

use std::fs::File;

use camino::Utf8Path;

use crate::error::{Error, IoContext as _};
use crate::foreign::{self, Container, ImageNode, Links, Packing, Part, qcow2};
use crate::formats::ova::{self, Member};
use crate::formats::ovf::Envelope;
use crate::formats::{vmdk, vmx, zst};
use disk_reader::DiskReader;
pub(crate) use disk_reader::read_plain;
pub use facts::{
    Depth, DiskFacts, GuestContent, ImageKind, Inspection, IsoFacts, MachineFacts, OvaFacts, VmdkFacts,
    ZstFacts,
};
pub(crate) use iso9660::squashfs;
pub use manifest_match::ManifestMatch;
pub(crate) use packages::check_digest;
use remarks::Remarks;

/// Inspects a file. Only system errors are errors.
pub fn inspect(path: &Utf8Path, depth: Depth) -> Result<Inspection, Error> {
    let mut file = open(path)?;
    let size = file.metadata().at("read", path)?.len();
    let path = &crate::build::absolute(path)?;
    let head = read_plain(&file, 0, foreign::HEAD).at("read", path)?;
    let container = Container::of_file(&file, 0, size).at("read", path)?;
    let mut remarks = Remarks::default();
    let name = path.file_name().unwrap_or_default().to_owned();
    let (manifest, expected) = manifest_match::compare(path, size);
    if let Container::Packed(packing) = container
        && let Some(found) =
            packed::inspect_content(path, &file, packing, depth, &mut remarks.problems, &inspect)?
    {
        let Remarks { problems, notes } = remarks.joined(found.remarks);
        let packed::Found { kind, disk, content, .. } = found;
        return Ok(Inspection { file: name, size, kind, disk, manifest, content, problems, notes });
    }
    let kind = kind(container, path, &mut file, &head, &mut remarks);
    let node = node(&kind, container, path, &file, &mut remarks.problems);
    let disk = disk(&kind, node.as_ref(), &file, &mut remarks.problems);
    let image = guest_content::InspectedImage {
        path,
        file: &file,
        kind: &kind,
        node: node.as_ref(),
        disk: disk.as_ref(),
    };
    let content = match depth {
        Depth::Tables => GuestContent::NotLookedAt,
        Depth::Files => image.content(expected)?,
    };
    let Remarks { problems, notes } = remarks;
    Ok(Inspection { file: name, size, kind, disk, manifest, content, problems, notes })
}

/// Opens a regular file.
pub(crate) fn open(path: &Utf8Path) -> Result<File, Error> {
    foreign::is_regular(path)?;
    File::open(path).at("open", path)
}

fn kind(
    container: Container,
    path: &Utf8Path,
    file: &mut File,
    head: &[u8],
    remarks: &mut Remarks,
) -> ImageKind {
    let problems = &mut remarks.problems;
    match container {
        Container::Qcow2 => match qcow2::Header::parse(head) {
            Ok(header) => return ImageKind::Qcow2(header),
            Err(why) => problems.push(format!("not a valid qcow2: {why}")),
        },
        Container::Vmdk => match vmdk::read(file, 0) {
            Ok((header, descriptor)) => return ImageKind::Vmdk(vmdk_facts(header.version, &descriptor)),
            Err(error) => problems.push(error.to_string()),
        },
        Container::VmdkDescriptor => match vmdk::Descriptor::parse(&String::from_utf8_lossy(head)) {
            Ok(descriptor) => return ImageKind::Vmdk(vmdk_facts(1, &descriptor)),
            Err(error) => problems.push(error.to_string()),
        },
        Container::Packed(Packing::Zstd) => match zst::frames(file) {
            Ok(zst::Frames { count, content, head }) => {
                return ImageKind::Zst(ZstFacts { frames: count, head, content });
            }
            Err(error) => problems.push(error.to_string()),
        },
        Container::Tar => match ova::Package::read(file) {
            Ok(package) => return ImageKind::Ova(packages::facts(file, &package, remarks)),
            Err(error) => problems.push(format!("not a valid archive: {error}")),
        },
        Container::Iso { .. } => return ImageKind::Iso(iso_facts(head)),
        Container::Raw => return ImageKind::Raw,
        Container::Unknown => match descriptor(file, head) {
            Some(Ok(kind)) => return kind,
            Some(Err(why)) => problems.push(why),
            None => problems.push(format!("{path} is {}", container.refusal())),
        },
        other if other.driver().is_some() => return ImageKind::Other { container: other },
        other => {
            problems.push(format!("it is {}", other.refusal()));
            return ImageKind::Other { container: other };
        }
    }
    ImageKind::Unknown
}

/// The image as a node for QEMU, for formats that QEMU reads.
fn node(
    kind: &ImageKind,
    container: Container,
    path: &Utf8Path,
    file: &File,
    problems: &mut Vec<String>,
) -> Option<ImageNode> {
    let mut part = Part::whole(path, file).ok()?;
    let mut found = container;
    match kind {
        ImageKind::Qcow2(_) | ImageKind::Vmdk(_) => {}
        ImageKind::Other { container } if container.driver().is_some() => {}
        ImageKind::Ova(facts) => {
            let member = facts.boot_member.as_ref()?;
            part = Part { offset: member.offset, size: member.size, is_whole: false, ..part };
            found = Container::of_file(file, part.offset, part.size).ok()?;
        }
        _ => return None,
    }
    let opened = foreign::open(&part, found, Links::Refuse);
    let checked = opened.and_then(|node| foreign::check(&node).map(|()| node));
    checked.map_err(|why| problems.push(format!("{why}: its content is not looked at"))).ok()
}

fn vmdk_facts(version: u32, descriptor: &vmdk::Descriptor) -> VmdkFacts {
    VmdkFacts { kind: descriptor.kind.clone(), cid: format!("{:08x}", descriptor.cid), version }
}

pub(crate) fn iso_facts(head: &[u8]) -> IsoFacts {
    let text = |range: std::ops::Range<usize>| {
        String::from_utf8_lossy(head.get(range).unwrap_or_default()).trim().to_owned()
    };
    // El Torito 1.0, figure 7: the boot record is in sector 17.
    IsoFacts { volume: text(0x8028..0x8048), boots_as_cd: text(0x8807..0x881e) == "EL TORITO SPECIFICATION" }
}

/// OVF and VMX are texts.
fn descriptor(file: &File, head: &[u8]) -> Option<Result<ImageKind, String>> {
    let start = String::from_utf8_lossy(head);
    let is_xml =
        start.trim_start_matches('\u{feff}').trim_start().starts_with("<?xml") || start.contains("<Envelope");
    let is_vmx = start.contains("config.version") || start.contains("encryption.keySafe");
    if !is_xml && !is_vmx {
        return None;
    }
    let size = file.metadata().ok()?.len();
    let whole = Member { name: String::new(), offset: 0, size };
    let text = ova::text(&mut file.try_clone().ok()?, &whole).ok()?;
    let facts = if is_xml {
        Envelope::parse(&text).map(|envelope| ImageKind::Ovf(packages::envelope_facts(&envelope)))
    } else {
        vmx::Vmx::parse(&text).map(|machine| ImageKind::Vmx(packages::vmx_facts(&machine)))
    };
    Some(facts.map_err(|error| error.to_string()))
}

fn disk(
    kind: &ImageKind,
    node: Option<&ImageNode>,
    file: &File,
    problems: &mut Vec<String>,
) -> Option<DiskFacts> {
    match kind {
        ImageKind::Raw | ImageKind::Iso(_) => {
            let size = file.metadata().ok()?.len();
            let facts = facts(&DiskReader::Plain(file), size, problems);
            // The partition table of a hybrid ISO may include sectors that its writer omitted.
            let is_disk = *kind == ImageKind::Raw;
            problems.extend(facts.cut().filter(|_| is_disk));
            Some(facts)
        }
        ImageKind::Zst(found) => {
            let head = zst::head(file, found.head).map_err(|error| problems.push(error.to_string())).ok()?;
            Some(facts(&DiskReader::Start(&head), found.content.unwrap_or(head.len() as u64), problems))
        }
        _ => {
            let image = node?;
            let size = image.virtual_size().map_err(|problem| problems.push(problem)).ok()?;
            let facts = facts(&DiskReader::Image { image, size }, size, problems);
            problems.extend(facts.cut());
            Some(facts)
        }
    }
}

/// The partition tables of a raw disk.
pub(crate) fn tables(file: &File) -> Result<DiskFacts, String> {
    let virtual_size = file.metadata().map_err(|error| error.to_string())?.len();
    let mut facts = DiskFacts::of_size(virtual_size);
    examine(&DiskReader::Plain(file), &mut facts).map(|()| facts)
}

/// Why no disk can be made from a file of unknown type.
pub(crate) fn refusal(file: &File) -> String {
    let head = read_plain(file, 0, foreign::HEAD).unwrap_or_default();
    match descriptor(file, &head) {
        Some(Ok(ImageKind::Vmx(_))) => "a VMX configuration: give the .vmdk that it names".into(),
        Some(Ok(_)) => "an OVF descriptor: give the disk that it names, or the OVA of both".into(),
        Some(Err(why)) => why,
        None => Container::Unknown.refusal(),
    }
}

fn facts(content: &DiskReader<'_>, virtual_size: u64, problems: &mut Vec<String>) -> DiskFacts {
    let mut facts = DiskFacts::of_size(virtual_size);
    if let Err(problem) = examine(content, &mut facts) {
        problems.push(format!("its content cannot be read: {problem}"));
    }
    if facts.table.as_ref().is_some_and(|table| !table.intact) {
        problems.push("a check sum of its partition table is wrong".into());
    }
    facts
}

fn examine(content: &DiskReader<'_>, facts: &mut DiskFacts) -> Result<(), String> {
    let start = content.read(0, 4096)?;
    facts.bios_loader = loaders::bios(&start);
    let sector = start.get(512..1024).unwrap_or_default();
    let Some(header) = gpt::Header::parse(sector) else {
        facts.mbr = mbr::Table::read(&mut |at| content.read(at, 512))?;
        let esp =
            facts.mbr.iter().flat_map(|table| &table.partitions).find(|partition| partition.kind == mbr::ESP);
        if let Some(esp) = esp {
            facts.uefi_loader =
                loaders::has_uefi(&content.read(esp.start, esp.size.min(loaders::ESP_SEARCHED))?);
        }
        return Ok(());
    };
    let table = header.table(&content.read(header.entries, header.length)?);
    if let Some(esp) = table.partitions.iter().find(|partition| partition.type_guid == gpt::ESP) {
        facts.uefi_loader = loaders::has_uefi(&content.read(esp.start, esp.size.min(loaders::ESP_SEARCHED))?);
    }
    facts.table = Some(table);
    Ok(())
}
