//! `cargo xtask inspect`: describes an image, as text or as JSON.

use rave_image::inspect::{
    Depth, DiskFacts, GuestContent, ImageKind, Inspection, MachineFacts, ManifestMatch, inspect,
};

use crate::cli;
use crate::cmd::sandbox::describe;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::Inspect, ui: &Ui) -> anyhow::Result<Code> {
    if let Some(code) = describe(&args.file, args.json, ui)? {
        return Ok(code);
    }
    let depth = if args.no_content { Depth::Tables } else { Depth::Files };
    let found = inspect(&args.file, depth)?;
    if args.json {
        ui.data(&serde_json::to_string_pretty(&found)?);
    } else {
        let rows =
            rows(&found).into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect::<Vec<_>>();
        ui.table(&["what", "value"], &rows);
    }
    Ok(code(&found))
}

/// A file that does not match its manifest, or is damaged, is a failed check.
fn code(found: &Inspection) -> Code {
    let differs = matches!(found.manifest, ManifestMatch::Differs { .. })
        || matches!(found.content, GuestContent::Differs { .. } | GuestContent::Missing { .. });
    if differs || !found.problems.is_empty() { Code::CheckFailed } else { Code::Ok }
}

type Row = (&'static str, String);

fn rows(found: &Inspection) -> Vec<Row> {
    let mut rows = vec![("file", found.file.clone()), ("size", bytes(found.size))];
    rows.extend(kind(&found.kind));
    rows.extend(found.disk.iter().flat_map(disk));
    rows.push(("manifest", manifest(&found.manifest)));
    rows.push(("files", content(&found.content)));
    rows.extend(found.notes.iter().map(|note| ("note", note.clone())));
    rows.extend(found.problems.iter().map(|problem| ("problem", problem.clone())));
    rows
}

fn kind(kind: &ImageKind) -> Vec<Row> {
    let mut rows = Vec::new();
    let name = match kind {
        ImageKind::Raw => "raw disk".to_owned(),
        ImageKind::Qcow2(header) => {
            let compression = format!("{:?}", header.compression).to_lowercase();
            format!("qcow2 version {}, compression {compression}", header.version)
        }
        ImageKind::Vmdk(facts) => format!("VMDK {}, version {}, id {}", facts.kind, facts.version, facts.cid),
        ImageKind::Ova(facts) => {
            rows.extend(facts.files.iter().map(|file| ("contains", file.clone())));
            rows.extend(facts.boot_disk.iter().map(|disk| ("boots from", disk.clone())));
            rows.push(("valid digests", facts.digests_hold.to_string()));
            rows.extend(facts.machine.iter().flat_map(machine));
            "OVA".to_owned()
        }
        ImageKind::Ovf(facts) => {
            rows.extend(machine(facts));
            "OVF descriptor".to_owned()
        }
        ImageKind::Vmx(facts) => {
            rows.extend(machine(facts));
            "VMX configuration".to_owned()
        }
        ImageKind::Zst(facts) => {
            rows.push(("unpack it with", "zstd -d --sparse FILE".into()));
            format!("raw disk, compressed by zstd, frames: {}", facts.frames)
        }
        ImageKind::Iso(facts) => {
            let boots = if facts.boots_as_cd { "boots as a CD" } else { "does not boot as a CD" };
            format!("ISO 9660, volume {:?}, {boots}", facts.volume)
        }
        ImageKind::Packed { packing, holds } => format!("{}, compressed by {}", holds.name(), packing.name()),
        ImageKind::Other { container } => container.name().to_owned(),
        ImageKind::Unknown => "unknown".to_owned(),
    };
    rows.insert(0, ("format", name));
    rows
}

fn machine(facts: &MachineFacts) -> Vec<Row> {
    let number = |number: Option<u64>| number.map_or("unknown".to_owned(), |number| number.to_string());
    let mut rows = vec![
        ("machine", format!("{}, {}, guest {}", facts.name, facts.family, facts.guest)),
        ("CPUs", number(facts.cpus)),
        ("memory, MiB", number(facts.memory_mib)),
        ("disk controllers", facts.controllers.join(", ")),
        ("network cards", facts.cards.join(", ")),
    ];
    rows.extend(facts.forwards.iter().map(|forward| ("forward", forward.clone())));
    rows
}

fn disk(facts: &DiskFacts) -> Vec<Row> {
    let mut rows = vec![("disk", bytes(facts.virtual_size))];
    if let Some(table) = &facts.table {
        rows.push(("GPT", table.guid.clone()));
        for partition in &table.partitions {
            let purpose = partition.purpose.unwrap_or(&partition.type_guid);
            let place = format!("{} from {}", bytes(partition.size), bytes(partition.start));
            rows.push((
                "partition",
                format!("{} {:?}: {purpose}, {place}", partition.number, partition.name),
            ));
        }
    }
    if let Some(table) = &facts.mbr {
        rows.push(("MBR", table.id.clone()));
        for partition in &table.partitions {
            let purpose =
                partition.purpose().map_or_else(|| format!("type {:02x}", partition.kind), str::to_owned);
            let place = format!("{} from {}", bytes(partition.size), bytes(partition.start));
            let active = if partition.active { ", active" } else { "" };
            rows.push(("partition", format!("{}: {purpose}, {place}{active}", partition.number)));
        }
    }
    rows.push(("boots with BIOS", facts.bios_loader.clone().unwrap_or_else(|| "no".into())));
    rows.push(("boots with UEFI", if facts.uefi_loader { "BOOTX64.EFI" } else { "no" }.to_owned()));
    rows
}

fn manifest(found: &ManifestMatch) -> String {
    match found {
        ManifestMatch::None => "none beside it".into(),
        ManifestMatch::Unreadable { detail } => format!("unreadable: {detail}"),
        ManifestMatch::NotListed => "does not name this file".into(),
        ManifestMatch::Same { base, profile, format, sha256 } => {
            format!("matches: {base}, {profile}, {format}, SHA-256 {sha256}")
        }
        ManifestMatch::Differs { detail } => format!("differs: {detail}"),
    }
}

fn content(found: &GuestContent) -> String {
    match found {
        GuestContent::NotLookedAt => "not looked at (--no-content)".into(),
        GuestContent::None { detail } => format!("none: {detail}"),
        GuestContent::Alone { sha256 } => format!("content digest {sha256}"),
        GuestContent::Same { sha256 } => format!("match: content digest {sha256}"),
        GuestContent::Differs { sha256, manifest } => {
            format!("differ: content digest {sha256}, the manifest says {manifest}")
        }
        GuestContent::Missing { detail } => format!("differ: {detail}"),
    }
}

/// `16.0 GiB`, `1.5 MiB`, `835 bytes`.
#[allow(clippy::cast_precision_loss)] // shown with one decimal
fn bytes(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, name)) => format!("{:.1} {name}", bytes as f64 / *size as f64),
        None => format!("{bytes} bytes"),
    }
}
