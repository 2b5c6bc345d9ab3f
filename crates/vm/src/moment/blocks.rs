//! QEMU's memory blocks, and the small ones among them as a part of its migration stream. The state of the devices,
//! which `xen-save-devices-state` writes, contains no memory: the firmware's, the ROMs' and the screen's would be empty
//! in a resumed machine. They are added to the stream as QEMU's own migration does (`ram_save_setup` and
//! `ram_save_page` of migration/ram.c); the guest's memory is named there without any pages.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// A page of the stream, bytes: `TARGET_PAGE_SIZE` of x86.
const PAGE: usize = 4096;
/// The limit for all blocks except the guest's memory together, bytes: more than any screen's memory.
const MOST: u64 = 256 << 20;

/// Section types of migration/savevm.h.
const SECTION_START: u8 = 1;
const SECTION_END: u8 = 3;
const SECTION_FOOTER: u8 = 0x7e;
/// A number that none of QEMU's own sections has: they count up from 0.
const SECTION: u32 = 0x7fff_0000;
/// The version of the section "ram" (`register_savevm_live` in `ram_mig_init`).
const VERSION: u32 = 4;
/// Flags of migration/ram.c, in an address's low bits.
const FLAG_MEM_SIZE: u64 = 0x04;
const FLAG_PAGE: u64 = 0x08;
const FLAG_EOS: u64 = 0x10;
/// `QEMU_VM_FILE_MAGIC` and its version, 4 bytes each.
const HEAD: usize = 8;
const MAGIC: &[u8] = b"QEVM\0\0\0\x03";

/// A block of memory of QEMU's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// QEMU's name for it.
    pub(super) name: String,
    /// Used bytes.
    pub(super) used: u64,
    /// Its address in QEMU's process.
    pub(super) address: u64,
}

impl Block {
    /// Whether it is the guest's memory: a file's, or QEMU's own.
    pub(super) fn is_main(&self) -> bool {
        matches!(self.name.as_str(), "mem" | "pc.ram")
    }
}

/// The answer to `info ramblock`: name, page size with its unit, offset, used, total, address, access.
pub(super) fn parse(text: &str) -> Option<Vec<Block>> {
    let rows = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    rows.map(row).collect()
}

fn row(line: &str) -> Option<Block> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [name, _, _, _, used, _, address, ..] = fields.as_slice() else { return None };
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some(Block { name: (*name).to_owned(), used: number(used)?, address: number(address)? })
}

/// The stream `devices` with the small blocks added; their contents are read from QEMU's memory.
pub(super) fn with_blocks(devices: &[u8], blocks: &[Block], memory: &File) -> io::Result<Vec<u8>> {
    if devices.get(..HEAD) != Some(MAGIC) {
        return Err(io::Error::other(
            "QEMU saved its devices' state in a format that this version does not know",
        ));
    }
    let small: u64 = blocks.iter().filter(|block| !block.is_main()).map(|block| block.used).sum();
    if small > MOST {
        return Err(io::Error::other(format!("its devices have {} MiB of memory", small >> 20)));
    }
    let mut stream = devices[..HEAD].to_vec();
    setup(&mut stream, blocks);
    pages(&mut stream, blocks, memory)?;
    stream.extend(&devices[HEAD..]);
    Ok(stream)
}

fn name(stream: &mut Vec<u8>, name: &str) {
    stream.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    stream.extend(name.as_bytes());
}

/// The names and sizes.
fn setup(stream: &mut Vec<u8>, blocks: &[Block]) {
    stream.push(SECTION_START);
    stream.extend(SECTION.to_be_bytes());
    name(stream, "ram");
    stream.extend(0_u32.to_be_bytes());
    stream.extend(VERSION.to_be_bytes());
    let total: u64 = blocks.iter().map(|block| block.used).sum();
    stream.extend((total | FLAG_MEM_SIZE).to_be_bytes());
    for block in blocks {
        // The machine that resumes has its memory in a file.
        name(stream, if block.is_main() { "mem" } else { &block.name });
        stream.extend(block.used.to_be_bytes());
    }
    stream.extend(FLAG_EOS.to_be_bytes());
    footer(stream);
}

/// The pages that are not zero.
fn pages(stream: &mut Vec<u8>, blocks: &[Block], memory: &File) -> io::Result<()> {
    stream.push(SECTION_END);
    stream.extend(SECTION.to_be_bytes());
    for block in blocks.iter().filter(|block| !block.is_main()) {
        let mut content = vec![0; usize::try_from(block.used).map_err(io::Error::other)?];
        memory.read_exact_at(&mut content, block.address)?;
        for (offset, page) in (0_u64..).step_by(PAGE).zip(content.chunks(PAGE)) {
            if page.len() < PAGE || page.iter().all(|byte| *byte == 0) {
                continue;
            }
            stream.extend((offset | FLAG_PAGE).to_be_bytes());
            name(stream, &block.name);
            stream.extend(page);
        }
    }
    stream.extend(FLAG_EOS.to_be_bytes());
    footer(stream);
    Ok(())
}

fn footer(stream: &mut Vec<u8>) {
    stream.push(SECTION_FOOTER);
    stream.extend(SECTION.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "              Block Name    PSize              Offset               Used              Total                HVA  RO\r
                     mem    4 KiB  0x0000000000000000 0x0000000080000000 0x0000000080000000 0x00007f18c3fff000  rw\r
    /rom@etc/acpi/tables    4 KiB  0x00000000808c0000 0x0000000000020000 0x0000000000200000 0x00007f18c3000000  ro\r\n";

    #[test]
    fn blocks_are_parsed_and_invalid_ones_reported() {
        let blocks = parse(TEXT).unwrap();
        assert!(blocks[0].is_main() && !blocks[1].is_main());
        let tables = Block { name: "/rom@etc/acpi/tables".into(), used: 0x20000, address: 0x7f18_c300_0000 };
        assert_eq!((blocks.len(), &blocks[1]), (2, &tables));
        // A block without an address.
        assert_eq!(parse("Block Name\n pc.ram 4 KiB 0x0 0x1 0x2\n"), None);
    }

    #[test]
    fn small_blocks_precede_the_devices_without_empty_pages() {
        let scratch = tempfile::tempfile().unwrap();
        scratch.write_all_at(&[7; PAGE], 3 * PAGE as u64).unwrap();
        scratch.set_len(10 * PAGE as u64).unwrap();
        let blocks = [
            Block { name: "pc.ram".into(), used: 1 << 30, address: 0 },
            Block { name: "rom".into(), used: 3 * PAGE as u64, address: 2 * PAGE as u64 },
        ];
        let devices = [MAGIC, b"devices"].concat();
        let stream = with_blocks(&devices, &blocks, &scratch).unwrap();
        assert!(stream.starts_with(MAGIC) && stream.ends_with(b"devices"));
        let count = |wanted: &[u8]| stream.windows(wanted.len()).filter(|found| *found == wanted).count();
        assert_eq!((count(b"\x03mem"), count(b"pc.ram"), count(b"\x03rom")), (1, 0, 2));
        assert_eq!(count(&[7; PAGE]), 1);
        // The block's only page in the stream is its second.
        assert_eq!(count(&[&(PAGE as u64 | FLAG_PAGE).to_be_bytes()[..], b"\x03rom"].concat()), 1);
        assert!(with_blocks(b"QEVM", &blocks, &scratch).is_err());
    }
}
