//! Which part of two disks with the same files differs.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_process::Cmd;

use super::bytes::{self, ByteDifference};
use crate::error::{Error, IoContext as _};
use crate::inspect::gpt::{self, Partition};

/// Bytes of a block of the root file system, and its blocks in a group: as many as one block of bitmap has bits
/// (ext4's documentation in the kernel, "Block Groups").
const BLOCK: u64 = 4096;
const GROUP: u64 = BLOCK * 8;

/// Where the boot code of the MBR ends (UEFI specification 2.10, table 5.3).
const BOOT_CODE_END: u64 = 440;

pub(super) fn compare(a: &Utf8Path, b: &Utf8Path) -> Result<Option<(String, ByteDifference)>, Error> {
    let Some(spot) = bytes::files(a, b)? else { return Ok(None) };
    let partitions = partitions(a)?;
    let holds = |partition: &&Partition| {
        (partition.start..partition.start.saturating_add(partition.size)).contains(&spot.offset)
    };
    let part = match partitions.iter().find(holds) {
        Some(partition) if partition.type_guid == gpt::ESP => {
            let file = file_of_esp(&[a, b], partition.start);
            let what = file.map_or("its FAT's own tables".to_owned(), |file| format!("file {file}"));
            format!("partition {} {:?}: {what}", partition.number, partition.name)
        }
        Some(partition) if partition.name == "root" => {
            let block = (spot.offset - partition.start) / BLOCK;
            format!(
                "partition {} {:?}: ext4's own tables, byte {} of it, block {block}, group {}",
                partition.number,
                partition.name,
                spot.offset - partition.start,
                block / GROUP
            )
        }
        Some(partition) => format!(
            "partition {} {:?}: byte {} of it",
            partition.number,
            partition.name,
            spot.offset - partition.start
        ),
        None if spot.offset < BOOT_CODE_END => "boot code of the MBR".to_owned(),
        None => "partition table".to_owned(),
    };
    Ok(Some((part, spot)))
}

fn partitions(disk: &Utf8Path) -> Result<Vec<Partition>, Error> {
    let file = File::open(disk).at("open", disk)?;
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, gpt::PLACE).at("read", disk)?;
    let Some(header) = gpt::Header::parse(&sector) else { return Ok(Vec::new()) };
    let mut entries = vec![0; usize::try_from(header.length).unwrap_or_default()];
    file.read_exact_at(&mut entries, header.entries).at("read", disk)?;
    Ok(header.table(&entries).partitions)
}

/// The first file that differs, found with mdir(1) and mtype(1). Without these programs only the partition is reported.
fn file_of_esp(disks: &[&Utf8Path; 2], start: u64) -> Option<String> {
    let image = |disk: &Utf8Path| format!("{disk}@@{start}");
    let list = Cmd::new("mdir").args(["-/", "-b", "-i", &image(disks[0]), "::"]).output().ok()?;
    let names = String::from_utf8_lossy(&list.stdout).into_owned();
    let files = names.lines().map(str::trim).filter(|name| name.starts_with("::/") && !name.ends_with('/'));
    let content =
        |disk, name: &str| Some(Cmd::new("mtype").args(["-i", &image(disk), name]).output().ok()?.stdout);
    let mut differing = files.filter(|name| content(disks[0], name) != content(disks[1], name));
    differing.next().map(|name| name.trim_start_matches("::").to_owned())
}
