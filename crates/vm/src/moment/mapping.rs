//! Where the guest's memory is in QEMU's process.

use std::fs;
use std::io;
use std::os::linux::fs::MetadataExt as _;

use camino::Utf8Path;

use super::blocks::Block;

/// A mapping of a process, proc(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    device: (u32, u32),
    inode: u64,
    /// The file's name when it was mapped.
    path: Option<String>,
}

/// What unwritten pages of a mapping contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing {
    /// Zeros.
    Nothing,
    /// The contents of the given file.
    File,
}

/// What unwritten pages of a block of the guest's memory contain; an error if they come from a file other than `file`.
pub(super) fn backing(pid: u32, block: &Block, file: &Utf8Path) -> io::Result<Backing> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mapping =
        text.lines().filter_map(parse).find(|mapping| (mapping.start..mapping.end).contains(&block.address));
    let mapping = mapping.ok_or_else(|| io::Error::other("QEMU's memory is not where QEMU says"))?;
    if mapping.inode == 0 {
        return Ok(Backing::Nothing);
    }
    let about = fs::metadata(file).map_err(|_| io::Error::other(OLD))?;
    let device = (rustix::fs::major(about.st_dev()), rustix::fs::minor(about.st_dev()));
    // For Btrfs, the device here differs from the one that stat(2) reports.
    let is_on_it = device == mapping.device || mapping.path.as_deref() == Some(file.as_str());
    let is_it =
        is_on_it && about.st_ino() == mapping.inode && mapping.offset == 0 && mapping.start == block.address;
    if is_it { Ok(Backing::File) } else { Err(io::Error::other(OLD)) }
}

/// The error for a machine whose memory's file was removed.
const OLD: &str =
    "it was started by an earlier version, which kept no file of its memory: stop and start it first";

/// A line of `/proc/PID/maps`.
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let device = |text: &str| u32::from_str_radix(text, 16).ok();
    Some(Mapping {
        start: number(start)?,
        end: number(end)?,
        offset: number(offset)?,
        device: (device(major)?, device(minor)?),
        inode: fields.next()?.parse().ok()?,
        path: line.find('/').map(|at| line[at..].to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_and_others_ignored() {
        let line =
            "7f18c3fff000-7f1943fff000 rw-p 00001000 fe:00 5359872          /state/a b/memory (deleted)";
        let mapping = Mapping {
            start: 0x7f18_c3ff_f000,
            end: 0x7f19_43ff_f000,
            offset: 0x1000,
            device: (0xfe, 0),
            inode: 5_359_872,
            path: Some("/state/a b/memory (deleted)".into()),
        };
        assert_eq!(parse(line), Some(mapping));
        for line in ["", "7f18", "x-y rw-p 0 0:0 0", "1-2 rw-p"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn only_the_mapped_file_is_the_backing_file() {
        // The mapping of this test's program.
        let text = fs::read_to_string("/proc/self/maps").unwrap();
        let program = std::env::current_exe().unwrap();
        let program = Utf8Path::from_path(&program).unwrap();
        let line = text.lines().find(|line| line.ends_with(program.as_str())).unwrap();
        let address = parse(line).unwrap().start;
        let block = Block { name: "mem".into(), used: 4096, address };
        let pid = std::process::id();
        assert_eq!(backing(pid, &block, program).unwrap(), Backing::File);
        assert!(backing(pid, &block, Utf8Path::new("/etc/passwd")).is_err());
        assert!(backing(pid, &Block { address: 0, ..block }, program).is_err());
    }
}
