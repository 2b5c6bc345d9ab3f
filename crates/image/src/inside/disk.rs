//! The file systems of a raw disk.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::time::Duration;

use camino::Utf8Path;
use rave_process::Cmd;

use super::artifact::of_squashfs;
use crate::content::ext4::{Ext4Tree, ReadLimits, TreeError, Visit, Visited};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::inspect::{self, read_plain};

/// How long the files of one file system may take to read.
const LIMIT: Duration = Duration::from_secs(3600);

const STAGE: &str = "files of the disk";

/// A file system of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The partition's number; none if it fills the disk.
    pub partition: Option<u32>,
    /// Where it starts, bytes.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
    /// Its type.
    pub kind: Kind,
    /// How many files were visited.
    pub files: u64,
}

/// The content of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ext4, ext3 or ext2.
    Ext4,
    /// FAT of any width.
    Fat,
    /// squashfs.
    Squashfs,
    /// No known file system, such as a boot loader's own partition.
    None,
}

/// Visits every file of every file system of a disk, and returns the file systems.
pub fn files(disk: &Utf8Path, visit: &mut Visit<'_>) -> Result<Vec<FileSystem>, Error> {
    let mut found = file_systems(disk)?;
    for one in &mut found {
        let mut shown = 0;
        let mut count = |path: &str, entry: Visited<'_>| {
            shown += u64::from(matches!(entry, Visited::File { .. }));
            visit(path, entry)
        };
        match one.kind {
            Kind::Ext4 => {
                let tree = Ext4Tree::open(disk, one.start, one.size).map_err(|why| of_tree(disk, &why))?;
                let limits = ReadLimits { time: LIMIT };
                tree.contents(&limits, &mut count).map_err(|why| of_tree(disk, &why))?;
            }
            Kind::Fat => fat(disk, one.start, &mut count)?,
            Kind::Squashfs => {
                let opened = of_squashfs(disk, one.start)?;
                if let Some(inner) = &opened.disk {
                    plain(crate::disk::IMAGE, inner, &mut count)?;
                }
                opened.siblings.iter().try_for_each(|sibling| sibling.visit(&mut count))?;
            }
            Kind::None => {}
        }
        one.files = shown;
    }
    Ok(found)
}

fn of_tree(disk: &Utf8Path, why: &TreeError) -> Error {
    if rave_process::interrupt::requested().is_some() {
        return Error::Interrupted;
    }
    Error::Input { what: disk.to_string(), detail: why.to_string() }
}

fn file_systems(disk: &Utf8Path) -> Result<Vec<FileSystem>, Error> {
    let file = inspect::open(disk)?;
    let size = file.metadata().at("read", disk)?.len();
    let facts = inspect::tables(&file).map_err(|detail| Error::Input { what: disk.to_string(), detail })?;
    let of_gpt = facts.table.iter().flat_map(|table| &table.partitions);
    let of_gpt = of_gpt.map(|partition| (Some(partition.number), partition.start, partition.size));
    let of_mbr = facts.mbr.iter().flat_map(|table| &table.partitions);
    let of_mbr = of_mbr.map(|partition| (Some(partition.number), partition.start, partition.size));
    let mut places: Vec<_> = of_gpt.chain(of_mbr).collect();
    if places.is_empty() {
        places.push((None, 0, size));
    }
    let describe = |(partition, start, size)| {
        let kind = kind(&read_plain(&file, start, 2048).at("read", disk)?);
        Ok(FileSystem { partition, start, size, kind, files: 0 })
    };
    places.into_iter().map(describe).collect()
}

/// Determined by the magic number of ext4's super block (kernel documentation, "Super Block"), the type name in a FAT
/// boot sector (fatgen103, "Boot Sector and BPB"), or the first bytes of a squashfs.
fn kind(head: &[u8]) -> Kind {
    let at = |start: usize, text: &[u8]| head.get(start..start + text.len()) == Some(text);
    if at(1080, &[0x53, 0xef]) {
        Kind::Ext4
    } else if at(54, b"FAT1") || at(82, b"FAT32") {
        Kind::Fat
    } else if at(0, b"hsqs") {
        Kind::Squashfs
    } else {
        Kind::None
    }
}

/// Reads it with mdir(1) and mtype(1), including hidden files.
fn fat(disk: &Utf8Path, start: u64, visit: &mut Visit<'_>) -> Result<(), Error> {
    let image = format!("{disk}@@{start}");
    let listed = Cmd::new("mdir").args(["-/", "-a", "-b", "-i", &image, "::"]).output().stage(STAGE)?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in listed.lines().map(str::trim).filter(|name| name.starts_with("::/")) {
        let path = name.trim_start_matches("::/");
        if name.ends_with('/') {
            visit(path.trim_end_matches('/'), Visited::Other).at("read", disk)?;
            continue;
        }
        let mut content = tempfile::tempfile().at("make a temporary file for", disk)?;
        let out = content.try_clone().at("make a temporary file for", disk)?;
        Cmd::new("mtype").args(["-i", &image, name]).stdout_file(out).run(&mut |_| ()).stage(STAGE)?;
        let size = content.seek(SeekFrom::End(0)).and_then(|size| content.rewind().map(|()| size));
        visit(path, Visited::File { size: size.at("read", disk)?, content: &mut content })
            .at("read", disk)?;
    }
    Ok(())
}

fn plain(name: &str, path: &Utf8Path, visit: &mut Visit<'_>) -> Result<(), Error> {
    let mut file = File::open(path).at("open", path)?;
    let size = file.metadata().at("read", path)?.len();
    visit(name, Visited::File { size, content: &mut file }).at("read", path)
}
