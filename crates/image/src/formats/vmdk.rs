//! The header of a VMDK: VMware, Virtual Disk Format 5.0. qemu-img writes the rest; its random content id and the
//! temporary file name are corrected here.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;

use super::parse_error::ParseError;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// Bytes of a sector, the unit of all positions in a header.
pub const SECTOR: u64 = 512;

/// The virtual hardware version of a VMDK, supported since Workstation 14, Fusion 10 and ESXi 6.7.
pub const HARDWARE: u32 = 14;

/// Bytes of a header: one sector.
const HEADER: usize = 512;

/// `magicNumber`: "KDMV" as bytes.
pub const MAGIC: [u8; 4] = *b"KDMV";

/// The longest descriptor that is read; qemu-img and VMware reserve 20 sectors for it.
const LONGEST: u64 = 1 << 16;

/// The id that means no parent ("The Header", `parentCID`).
pub const NO_PARENT: u32 = u32::MAX;

/// The header of a sparse extent ("Hosted Sparse Extents", `SparseExtentHeader`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 1; 3 with compressed grains.
    pub version: u32,
    /// Bit 0: the line-end bytes are valid; 16: grains are compressed; 17: markers precede them.
    pub flags: u32,
    /// The disk's size, sectors.
    pub capacity: u64,
    /// Sectors of a grain.
    pub grain_size: u64,
    /// Where the embedded descriptor starts, sectors; 0 for none.
    pub descriptor_offset: u64,
    /// The space for it, sectors.
    pub descriptor_size: u64,
    /// Entries of a grain table.
    pub entries_per_table: u32,
    /// The redundant grain directory, sectors.
    pub redundant_directory: u64,
    /// The grain directory, sectors.
    pub directory: u64,
    /// Sectors before the first grain.
    pub overhead: u64,
    /// Whether it was not closed.
    pub unclean: bool,
    /// 1: grains are compressed by DEFLATE.
    pub compression: u16,
}

/// `singleEndLineChar` and the following three: they reveal a file that was converted as text.
const LINE_ENDS: [u8; 4] = *b"\n \r\n";

impl Header {
    /// Its bytes: one sector.
    pub fn render(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(4, &self.version.to_le_bytes());
        put(8, &self.flags.to_le_bytes());
        put(12, &self.capacity.to_le_bytes());
        put(20, &self.grain_size.to_le_bytes());
        put(28, &self.descriptor_offset.to_le_bytes());
        put(36, &self.descriptor_size.to_le_bytes());
        put(44, &self.entries_per_table.to_le_bytes());
        put(48, &self.redundant_directory.to_le_bytes());
        put(56, &self.directory.to_le_bytes());
        put(64, &self.overhead.to_le_bytes());
        put(72, &[u8::from(self.unclean)]);
        put(73, &LINE_ENDS);
        put(77, &self.compression.to_le_bytes());
        out
    }

    /// Parses the first bytes of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let bad = |detail: &str| ParseError::new("VMDK", detail);
        let bytes = bytes.get(..HEADER).ok_or_else(|| bad("it is shorter than its header"))?;
        if bytes[..4] != MAGIC {
            return Err(bad("it does not start with KDMV"));
        }
        if bytes[73..77] != LINE_ENDS {
            return Err(bad("its line ends were changed on the way"));
        }
        let four = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let eight = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        Ok(Self {
            version: four(4),
            flags: four(8),
            capacity: eight(12),
            grain_size: eight(20),
            descriptor_offset: eight(28),
            descriptor_size: eight(36),
            entries_per_table: four(44),
            redundant_directory: eight(48),
            directory: eight(56),
            overhead: eight(64),
            unclean: bytes[72] != 0,
            compression: u16::from_le_bytes([bytes[77], bytes[78]]),
        })
    }

    /// The disk's size in bytes.
    pub fn bytes(&self) -> Option<u64> {
        self.capacity.checked_mul(SECTOR)
    }

    /// Offset and size of the descriptor in the file, bytes.
    fn descriptor(&self) -> Result<(u64, u64), ParseError> {
        let bad = || ParseError::new("VMDK", "its header gives no sensible place of the descriptor");
        let start = self.descriptor_offset.checked_mul(SECTOR).ok_or_else(bad)?;
        let size = self.descriptor_size.checked_mul(SECTOR).ok_or_else(bad)?;
        if start == 0 || size == 0 || size > LONGEST || start.checked_add(size).is_none() {
            return Err(bad());
        }
        Ok((start, size))
    }
}

/// The embedded descriptor ("The Descriptor File").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// `CID`: changes with the content.
    pub cid: u32,
    /// `parentCID`, [`NO_PARENT`] if the disk has no parent.
    pub parent_cid: u32,
    /// `createType`: `monolithicSparse`, `streamOptimized`.
    pub kind: String,
    /// Where the disk's sectors are.
    pub extents: Vec<Extent>,
    /// The lines that start with `ddb.`, without the prefix: key and value.
    pub database: Vec<(String, String)>,
}

/// A line of the extents' section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// `RW`, `RDONLY` or `NOACCESS`.
    pub access: String,
    /// Its sectors.
    pub sectors: u64,
    /// `SPARSE`, `FLAT` and others.
    pub kind: String,
    /// Its file.
    pub file: String,
    /// Where a flat extent starts in its file, sectors.
    pub offset: Option<u64>,
}

impl Descriptor {
    /// As text.
    pub fn render(&self) -> String {
        let extent = |extent: &Extent| {
            let offset = extent.offset.map(|offset| format!(" {offset}")).unwrap_or_default();
            format!("{} {} {} \"{}\"{offset}\n", extent.access, extent.sectors, extent.kind, extent.file)
        };
        let entry = |(key, value): &(String, String)| format!("ddb.{key} = \"{value}\"\n");
        format!(
            "# Disk DescriptorFile\nversion=1\nCID={:08x}\nparentCID={:08x}\ncreateType=\"{}\"\n\n\
             # Extent description\n{}\n# The Disk Data Base\n#DDB\n\n{}",
            self.cid,
            self.parent_cid,
            self.kind,
            self.extents.iter().map(extent).collect::<String>(),
            self.database.iter().map(entry).collect::<String>(),
        )
    }

    /// Parses the text up to its first NUL.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |detail: String| ParseError::new("VMDK descriptor", detail);
        let text = text.split('\0').next().unwrap_or_default();
        let mut fields = [None; 3];
        let (mut extents, mut database) = (Vec::new(), Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(extent) = extent(line) {
                extents.push(extent);
            } else if let Some((key, value)) = line.split_once('=') {
                let (key, value) = (key.trim(), value.trim());
                if let Some(key) = key.strip_prefix("ddb.") {
                    database.push((key.to_owned(), unquoted(value).to_owned()));
                } else if let Some(at) =
                    ["CID", "parentCID", "createType"].iter().position(|name| *name == key)
                {
                    fields[at] = Some(value);
                }
            } else {
                return Err(bad(format!("{line:?} is neither an extent nor NAME=VALUE")));
            }
        }
        let field = |at: usize, name: &str| fields[at].ok_or_else(|| bad(format!("it has no {name}")));
        let id = |at: usize, name: &str| {
            let text = field(at, name)?;
            u32::from_str_radix(text, 16)
                .map_err(|_| bad(format!("{name} {text:?} is not a hexadecimal number")))
        };
        Ok(Self {
            cid: id(0, "CID")?,
            parent_cid: id(1, "parentCID")?,
            kind: unquoted(field(2, "createType")?).to_owned(),
            extents,
            database,
        })
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn extent(line: &str) -> Option<Extent> {
    let (access, rest) = line.split_once(' ')?;
    if !["RW", "RDONLY", "NOACCESS"].contains(&access) {
        return None;
    }
    let (sectors, rest) = rest.trim_start().split_once(' ')?;
    let (kind, file) = rest.trim_start().split_once(' ')?;
    let (file, offset) = file.trim_start().strip_prefix('"')?.rsplit_once('"')?;
    let offset = match offset.trim() {
        "" => None,
        number => Some(number.parse().ok()?),
    };
    Some(Extent {
        access: access.into(),
        sectors: sectors.parse().ok()?,
        kind: kind.into(),
        file: file.into(),
        offset,
    })
}

/// The content id of a disk with this identity; never [`NO_PARENT`], which would make its child look like a disk
/// without a parent.
pub(crate) fn content_id(identity: &Digest) -> u32 {
    let [a, b, c, d, ..] = *identity.bytes();
    match u32::from_be_bytes([a, b, c, d]) {
        NO_PARENT => 1,
        id => id,
    }
}

/// Header and descriptor of a sparse VMDK that starts at `offset` of a file.
pub fn read(file: &File, offset: u64) -> Result<(Header, Descriptor), ParseError> {
    let failed = |error: std::io::Error| ParseError::new("VMDK", error.to_string());
    let mut sector = [0; HEADER];
    file.read_exact_at(&mut sector, offset).map_err(failed)?;
    let header = Header::parse(&sector)?;
    let (start, size) = header.descriptor()?;
    let start =
        start.checked_add(offset).ok_or_else(|| ParseError::new("VMDK", "its offsets are too large"))?;
    let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
    file.read_exact_at(&mut text, start).map_err(failed)?;
    Ok((header, Descriptor::parse(&String::from_utf8_lossy(&text))?))
}

/// Sets the final file name of a single-extent VMDK, and the content id `cid` instead of a random one.
pub(crate) fn settle(path: &Utf8Path, name: &str, cid: u32) -> Result<(), Error> {
    let damaged = |detail: String| Error::Damaged { path: path.to_owned(), detail };
    let file = File::options().read(true).write(true).open(path).at("open", path)?;
    let (header, mut descriptor) = read(&file, 0).map_err(|error| damaged(error.to_string()))?;
    let (start, size) = header.descriptor().map_err(|error| damaged(error.to_string()))?;
    descriptor.cid = cid;
    for extent in &mut descriptor.extents {
        name.clone_into(&mut extent.file);
    }
    let mut text = descriptor.render().into_bytes();
    if text.len() as u64 > size {
        return Err(damaged(format!("its descriptor has room for {size} bytes, {} are needed", text.len())));
    }
    text.resize(usize::try_from(size).unwrap_or_default(), 0);
    file.write_all_at(&text, start).at("write", path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by qemu-img 10 for a disk of 1 GiB.
    const DESCRIPTOR: &str = "# Disk DescriptorFile
version=1
CID=b94f0f0f
parentCID=ffffffff
createType=\"streamOptimized\"

# Extent description
RW 2097152 SPARSE \"s.vmdk\"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = \"14\"
ddb.adapterType = \"lsilogic\"
";

    #[test]
    fn the_descriptor_is_written_unchanged() {
        let descriptor = Descriptor::parse(DESCRIPTOR).unwrap();
        assert_eq!((descriptor.cid, descriptor.parent_cid), (0xb94f_0f0f, NO_PARENT));
        assert_eq!(descriptor.extents[0].file, "s.vmdk");
        assert_eq!(descriptor.render(), DESCRIPTOR);
    }

    fn texts() -> impl Strategy<Value = Descriptor> {
        let word = || "[A-Za-z][A-Za-z0-9 .-]{0,11}[A-Za-z0-9]";
        let extent = ("RW|RDONLY|NOACCESS", any::<u64>(), "[A-Z]{1,8}", word(), any::<Option<u64>>())
            .prop_map(|(access, sectors, kind, file, offset)| Extent { access, sectors, kind, file, offset });
        let database = proptest::collection::vec(("[a-zA-Z.]{1,20}", word()), 0..5);
        (any::<u32>(), any::<u32>(), word(), proptest::collection::vec(extent, 0..4), database).prop_map(
            |(cid, parent_cid, kind, extents, database)| Descriptor {
                cid,
                parent_cid,
                kind,
                extents,
                database,
            },
        )
    }

    proptest! {
        #[test]
        fn descriptors_round_trip(descriptor in texts()) {
            prop_assert_eq!(Descriptor::parse(&descriptor.render()).unwrap(), descriptor);
        }

        #[test]
        fn headers_round_trip(
            numbers in any::<[u64; 7]>(), small in any::<[u32; 3]>(), unclean: bool, compression: u16
        ) {
            let [capacity, grain_size, descriptor_offset, descriptor_size, redundant_directory, directory, overhead] =
                numbers;
            let [version, flags, entries_per_table] = small;
            let header = Header {
                version, flags, capacity, grain_size, descriptor_offset, descriptor_size, entries_per_table,
                redundant_directory, directory, overhead, unclean, compression,
            };
            prop_assert_eq!(Header::parse(&header.render()).unwrap(), header);
            let _ = header.descriptor();
            let _ = header.bytes();
        }

        #[test]
        fn garbage_is_refused(text in ".{0,200}") {
            let _ = Descriptor::parse(&text);
            let _ = Header::parse(text.as_bytes());
        }
    }
}
