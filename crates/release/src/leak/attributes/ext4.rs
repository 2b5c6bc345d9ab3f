//! Extended attributes in ext4 (kernel documentation, "ext4 Data Structures and Algorithms": "Super Block", "Block Group
//! Descriptors", "Index Nodes", "Extended Attributes"). An attribute in an inode of its own is found as raw bytes of the
//! disk.

use std::io;

use camino::Utf8Path;

use super::part::{Attribute, EachAttribute, Part, invalid, number};

/// Where the super block is, and its size.
const SUPER_BLOCK: u64 = 1024;
const SUPER_BLOCK_SIZE: usize = 1024;

/// The mark of attributes, in an inode or in a block of their own.
const MAGIC: u64 = 0xea02_0000;

/// `INCOMPAT_META_BG`, with which the descriptors are not in one place, and `INCOMPAT_64BIT`.
const META_BG: u64 = 0x10;
const SIXTY_FOUR: u64 = 0x80;

/// Bytes of an inode's fixed fields.
const FIXED: usize = 128;

/// Bytes of the header of an attribute block.
const HEADER: usize = 32;

/// The prefixes of names by index.
const PREFIXES: [&str; 9] = [
    "",
    "user.",
    "system.posix_acl_access",
    "system.posix_acl_default",
    "trusted.",
    "",
    "security.",
    "system.",
    "system.richacl",
];

/// What locates the inodes.
struct Layout {
    block: u64,
    inodes: u64,
    in_group: u64,
    inode: u64,
    descriptors: u64,
    descriptor: u64,
}

impl Layout {
    fn read(part: &Part) -> io::Result<Self> {
        let block: [u8; SUPER_BLOCK_SIZE] = part.bytes(SUPER_BLOCK)?;
        let of = |at, length| number(&block, at, length);
        let features = of(0x60, 4)?;
        if features & META_BG != 0 {
            return Err(invalid("its descriptors are in several places, which is not read"));
        }
        let shift = of(0x18, 4)?;
        let (in_group, descriptor) = (of(0x28, 4)?, of(0xfe, 2)?);
        if shift > 6 || in_group == 0 {
            return Err(invalid("its super block is damaged"));
        }
        let size = 1024 << shift;
        Ok(Self {
            block: size,
            inodes: of(0, 4)?,
            in_group,
            // The first revision has inodes of this size only.
            inode: if of(0x4c, 4)? == 0 { FIXED as u64 } else { of(0x58, 2)? },
            descriptors: (of(0x14, 4)? + 1) * size,
            descriptor: if features & SIXTY_FOUR == 0 { 32 } else { descriptor.max(64) },
        })
    }

    /// Where a group's inodes start, and how many of them may be in use.
    fn table(&self, part: &Part, group: u64) -> io::Result<(u64, u64)> {
        let mut descriptor = [0; 64];
        let length = usize::try_from(self.descriptor.min(64)).unwrap_or(64);
        part.read(&mut descriptor[..length], self.descriptors + group * self.descriptor)?;
        let joined = |low, high, length| {
            Ok::<_, io::Error>(
                number(&descriptor, low, length)? | number(&descriptor, high, length)? << (8 * length),
            )
        };
        let (start, unused) = (joined(0x8, 0x28, 4)?, joined(0x1c, 0x32, 2)?);
        // `BG_INODE_UNINIT`: nothing was ever written there.
        if number(&descriptor, 0x12, 2)? & 1 != 0 {
            return Ok((0, 0));
        }
        let last = self.inodes.saturating_sub(group * self.in_group).min(self.in_group);
        let start =
            start.checked_mul(self.block).ok_or_else(|| invalid("its inodes are beyond every disk"))?;
        Ok((start, last.saturating_sub(unused)))
    }
}

/// Visits every attribute of the file system that starts at byte `start` of a file.
pub(super) fn attributes(path: &Utf8Path, start: u64, each: &mut EachAttribute<'_>) -> io::Result<()> {
    let part = Part::open(path, start)?;
    let layout = Layout::read(&part)?;
    let mut inode = vec![0; usize::try_from(layout.inode).unwrap_or(FIXED).max(FIXED)];
    for group in 0..layout.inodes.div_ceil(layout.in_group) {
        rave_process::interrupt::check().map_err(io::Error::other)?;
        let (table, used) = layout.table(&part, group)?;
        for index in 0..used {
            part.read(&mut inode, table + index * layout.inode)?;
            // `i_mode` of a free inode is 0, `i_links_count` of a deleted one.
            if number(&inode, 0, 2)? != 0 && number(&inode, 0x1a, 2)? != 0 {
                of_inode(&part, layout.block, (group * layout.in_group + index + 1, &inode), each)?;
            }
        }
    }
    Ok(())
}

/// The attributes inside an inode, and those in its block.
fn of_inode(
    part: &Part,
    block: u64,
    (owner, inode): (u64, &[u8]),
    each: &mut EachAttribute<'_>,
) -> io::Result<()> {
    if inode.len() > FIXED {
        let within = FIXED + usize::try_from(number(inode, FIXED, 2)?).unwrap_or_default();
        if within + 4 <= inode.len() && number(inode, within, 4)? == MAGIC {
            entries(owner, &inode[within + 4..], 0, each)?;
        }
    }
    let place = number(inode, 0x68, 4)? | number(inode, 0x76, 2)? << 32;
    if place == 0 {
        return Ok(());
    }
    let at = place.checked_mul(block).ok_or_else(|| invalid("an attribute is elsewhere"))?;
    let mut stretch = vec![0; usize::try_from(block).unwrap_or_default()];
    part.read(&mut stretch, at)?;
    if number(&stretch, 0, 4)? == MAGIC { entries(owner, &stretch, HEADER, each) } else { Ok(()) }
}

/// The attributes in a stretch: their descriptions from `first` on, up to four zeros; offsets of values are relative to
/// its start.
fn entries(owner: u64, stretch: &[u8], first: usize, each: &mut EachAttribute<'_>) -> io::Result<()> {
    let mut at = first;
    while at + 4 <= stretch.len() && number(stretch, at, 4)? != 0 {
        let of = |offset, length| number(stretch, at + offset, length);
        let size_of_name = usize::from(stretch[at]);
        let name = stretch.get(at + 16..at + 16 + size_of_name);
        let name = name.ok_or_else(|| invalid("an attribute is truncated"))?;
        let (offset, inode, size) = (of(2, 2)?, of(4, 4)?, of(8, 4)?);
        let value = if inode == 0 {
            let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
            let value = range.and_then(|(start, size)| stretch.get(start..start.checked_add(size)?));
            value.ok_or_else(|| invalid("the value of an attribute is truncated"))?
        } else {
            &[]
        };
        let prefix = PREFIXES.get(usize::from(stretch[at + 1])).copied().unwrap_or_default();
        let place = format!("inode {owner}/{prefix}{}", String::from_utf8_lossy(name));
        each(&Attribute { place, name, value })?;
        // Padded to a multiple of 4.
        at += (16 + size_of_name).next_multiple_of(4);
    }
    Ok(())
}
