//! The members of a tar archive: ustar and pax (POSIX.1-2017, pax, "pax Interchange Format"), and GNU tar's long names and
//! large numbers. Reads only headers, and of their extensions only names and sizes.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a header, and the unit that contents are padded to.
const BLOCK: u64 = 512;

/// More members than any package has; bounds the time spent on an untrusted archive.
const MOST_MEMBERS: usize = 10_000;

/// Maximum bytes of a header extension that are read; a longer one contains more than names and sizes.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// A member and its position in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The first byte of its content; a multiple of 512.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// The values from extension headers that precede a member's own.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    size: Option<u64>,
    is_sparse: bool,
}

/// The files of an archive, in order.
pub fn members(file: &mut (impl Read + Seek)) -> io::Result<Vec<Member>> {
    let length = file.seek(SeekFrom::End(0))?;
    let (mut members, mut extension) = (Vec::new(), Extension::default());
    let (mut at, mut headers) = (0_u64, 0);
    // Two blocks of zeros end an archive; some writers omit them.
    while at.saturating_add(BLOCK) <= length && headers < MOST_MEMBERS {
        headers += 1;
        let mut block = [0; 512];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let header = Header::parse(&block)?;
        let content = at + BLOCK;
        let size = match header.kind {
            // Links, devices and folders have no content.
            b'1'..=b'6' => 0,
            _ => extension.size.filter(|_| header.is_file()).unwrap_or(header.size),
        };
        let end = content.checked_add(size).filter(|end| *end <= length);
        let end = end.ok_or_else(|| cut(extension.name.as_ref().unwrap_or(&header.name)))?;
        match header.kind {
            b'L' => extension.name = Some(text_until_nul(&read(file, content, size)?)),
            b'x' => extension.take(&read(file, content, size)?),
            b'S' => return Err(sparse(&header.name)),
            _ if header.is_file() => {
                let Extension { name, is_sparse, .. } = std::mem::take(&mut extension);
                let name = name.unwrap_or(header.name);
                if is_sparse {
                    return Err(sparse(&name));
                }
                // Before POSIX.1-1988 a trailing slash marked a folder.
                if !name.ends_with('/') {
                    members.push(Member { name, offset: content, size });
                }
            }
            b'g' | b'K' => {}
            _ => extension = Extension::default(),
        }
        at = end.next_multiple_of(BLOCK);
    }
    Ok(members)
}

fn invalid(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}

fn cut(name: &str) -> io::Error {
    invalid(format!("it is truncated: {name:?} ends beyond it"))
}

fn sparse(name: &str) -> io::Error {
    invalid(format!("{name:?} is stored without its zeros: pack it again, without --sparse"))
}

fn read(file: &mut (impl Read + Seek), start: u64, size: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(size.min(LONGEST_EXTENSION)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text_until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Extension {
    /// Records of `LENGTH KEYWORD=VALUE\n`, whose length includes itself.
    fn take(&mut self, mut records: &[u8]) {
        while let Some(record) = next_record(&mut records) {
            let Some(at) = record.iter().position(|byte| *byte == b'=') else { continue };
            let value = String::from_utf8_lossy(&record[at + 1..]).into_owned();
            match &record[..at] {
                b"path" => self.name = Some(value),
                b"size" => self.size = value.parse().ok().or(self.size),
                keyword => self.is_sparse |= keyword.starts_with(b"GNU.sparse."),
            }
        }
    }
}

fn next_record<'a>(records: &mut &'a [u8]) -> Option<&'a [u8]> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    *records = &records[length..];
    Some(record)
}

struct Header {
    name: String,
    kind: u8,
    size: u64,
}

impl Header {
    /// The fields of ustar: `name` at 0, `size` at 124, `chksum` at 148, `typeflag` at 156, `magic` at 257, `prefix` at 345.
    fn parse(block: &[u8; 512]) -> io::Result<Self> {
        let counted = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
        let sum: u64 = (0..512).map(|at| u64::from(counted(at))).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(invalid("the check sum of a header in it is wrong"));
        }
        let mut name = text_until_nul(&block[..100]);
        let prefix = text_until_nul(&block[345..500]);
        // GNU tar stores times there; its magic ends with spaces.
        if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
        let size = number(&block[124..136]).ok_or_else(|| invalid(format!("{name:?} has no size")))?;
        Ok(Self { name, kind: block[156], size })
    }

    fn is_file(&self) -> bool {
        matches!(self.kind, b'0' | b'\0' | b'7')
    }
}

/// Octal digits, or big-endian bytes after a first byte of 0x80 (GNU tar's manual, "Extensions to Archive Format").
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let mut bytes = field[1..].iter().skip_while(|byte| **byte == 0).collect::<Vec<_>>();
        return (bytes.len() <= 8).then(|| bytes.drain(..).fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}
