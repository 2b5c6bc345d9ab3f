//! Files that contain others: compressed with gzip, xz or zstd, tar archives, and cpio archives, such as an initrd. Their content is
//! visited as far as it can be unpacked within limits; reaching a limit is reported.

use std::io::{self, BufRead, BufReader, Read, Seek as _};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use rave_image::tempdir;
use rave_process::interrupt;

use super::member::{EachMember, LONGEST_TARGET, Member, What};
use super::{cpio, tar};

/// Maximum nesting of packed files: a kernel module in an initrd on a disk is the third layer.
const MOST_LAYERS: usize = 4;

/// Maximum unpacked size of a file, bytes: nothing in a guest is as large, but a few KiB may claim to be.
pub(super) const LONGEST: u64 = 2 << 30;

/// Maximum size of a compressed file that is kept in memory for reading it twice; a larger one is copied to a file.
const IN_MEMORY: usize = 8 << 20;

/// Memory limit of a decoder, bytes: enough for files compressed by xz(1) and zstd(1) at their usual levels.
const MEMORY: u32 = 128 << 20;

/// Bytes at the start of a file that determine its type: the header of a tar archive is the longest.
pub(super) const HEAD: u64 = 512;

/// The format of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Archive {
    Cpio,
    Tar,
}

impl Archive {
    fn of(head: &[u8]) -> Option<Self> {
        if cpio::begins(head) {
            return Some(Self::Cpio);
        }
        tar::begins(head).then_some(Self::Tar)
    }

    fn members(self, from: &mut dyn Read, show: &mut EachMember<'_>) -> io::Result<()> {
        match self {
            Self::Cpio => cpio::members(from, show),
            Self::Tar => tar::members(from, show),
        }
    }
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// Recognised by its first bytes (RFC 1952; the .xz file format, 2.1.1.1; RFC 8878, 3.1.1).
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn unpack<'a>(self, from: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(from)),
            Self::Xz => Box::new(XzReader::new_mem_limit(from, true, MEMORY >> 10)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                decoder.window_log_max(MEMORY.ilog2())?;
                Box::new(decoder)
            }
        })
    }
}

/// Visitor of a file's content.
pub(super) trait Visitor {
    /// Bytes that are neither an archive nor compressed: a whole file, or its unpacked content.
    fn bytes(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()>;

    /// The raw bytes of a file that was also unpacked: repeated findings do not count.
    fn packed(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()>;

    /// A member of an archive, before its bytes: the archive's path, the member's name, and its first bytes.
    fn member(&mut self, path: &str, name: &[u8], head: &[u8]) -> io::Result<()>;

    /// The target of a link in an archive.
    fn link(&mut self, path: &str, target: &[u8]) -> io::Result<()>;

    /// Why a file could not be read completely.
    fn unread(&mut self, path: &str, why: &str);
}

/// Visits a file and everything packed in it, at most `limit` unpacked bytes.
pub(super) fn file(
    path: &str,
    content: &mut dyn Read,
    limit: u64,
    visitor: &mut dyn Visitor,
) -> io::Result<()> {
    Unpacker { visitor, left: limit }.file(path, content, 0)
}

struct Unpacker<'a> {
    visitor: &'a mut dyn Visitor,
    /// Bytes that may still be unpacked from the outermost file.
    left: u64,
}

impl Unpacker<'_> {
    fn file(&mut self, path: &str, content: &mut dyn Read, layer: usize) -> io::Result<()> {
        let mut head = Vec::new();
        Read::take(&mut *content, HEAD).read_to_end(&mut head)?;
        let packing = Packing::of(&head);
        let archive = Archive::of(&head);
        let mut content = head.as_slice().chain(content);
        if packing.is_none() && archive.is_none() {
            return self.visitor.bytes(path, &mut content);
        }
        if layer >= MOST_LAYERS {
            self.visitor.unread(path, "it is packed too often");
            return self.visitor.bytes(path, &mut content);
        }
        if let Some(archive) = archive {
            return self.archive(path, archive, content, layer);
        }
        let Some(packing) = packing else { return self.visitor.bytes(path, &mut content) };
        let mut kept = tempfile::spooled_tempfile_in(IN_MEMORY, tempdir::place());
        io::copy(&mut content, &mut kept)?;
        kept.rewind()?;
        let from = packing.unpack(BufReader::new(&mut kept))?;
        let mut unpacked = Unpacked { from, left: self.left, why: None };
        let done = self.file(path, &mut unpacked, layer + 1);
        self.left = unpacked.left.min(self.left);
        interrupt::check().map_err(io::Error::other)?;
        if let Some(why) = unpacked.why.take() {
            self.visitor.unread(path, &why);
        }
        drop(unpacked);
        done?;
        // The raw bytes are visited too: something may follow the part that can be unpacked.
        kept.rewind()?;
        self.visitor.packed(path, &mut kept)
    }

    /// Concatenated archives and what follows them, as in an initrd (kernel documentation, "initramfs buffer format").
    fn archive(
        &mut self,
        path: &str,
        mut archive: Archive,
        content: impl Read,
        layer: usize,
    ) -> io::Result<()> {
        let mut content = BufReader::new(content);
        let mut head = Vec::new();
        loop {
            let mut members = head.as_slice().chain(&mut content);
            let done = archive
                .members(&mut members, &mut |member, content| self.member(path, member, content, layer));
            if let Err(error) = done {
                if error.kind() != io::ErrorKind::InvalidData {
                    return Err(error);
                }
                self.visitor.unread(path, &error.to_string());
                return self.visitor.bytes(path, &mut content);
            }
            head = cpio::behind_zeros(&mut content)?;
            if head.is_empty() {
                return Ok(());
            }
            Read::take(&mut content, HEAD - head.len() as u64).read_to_end(&mut head)?;
            match Archive::of(&head) {
                Some(next) => archive = next,
                None => return self.file(path, &mut head.as_slice().chain(&mut content), layer),
            }
        }
    }

    fn member(
        &mut self,
        archive: &str,
        Member { name, what }: Member<'_>,
        content: &mut dyn Read,
        layer: usize,
    ) -> io::Result<()> {
        interrupt::check().map_err(io::Error::other)?;
        let shown = format!("{archive}!/{}", String::from_utf8_lossy(name));
        let mut head = Vec::new();
        match what {
            What::File => {
                Read::take(&mut *content, HEAD).read_to_end(&mut head)?;
                self.visitor.member(&shown, name, &head)?;
                self.file(&shown, &mut head.as_slice().chain(content), layer + 1)
            }
            What::Link => {
                self.visitor.member(&shown, name, &[])?;
                Read::take(content, LONGEST_TARGET).read_to_end(&mut head)?;
                self.visitor.link(&shown, &head)
            }
            What::Other => {
                self.visitor.member(&shown, name, &[])?;
                self.visitor.bytes(&shown, content)
            }
        }
    }
}

/// The output of a decoder up to the limit: its end, an error and the limit all end the stream; the latter two are
/// recorded.
struct Unpacked<'a> {
    from: Box<dyn Read + 'a>,
    left: u64,
    why: Option<String>,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.why.is_some() || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            // Distinguishes a file that ends exactly at the limit from a longer one.
            if self.from.read(&mut [0]).is_ok_and(|count| count > 0) {
                self.why = Some("it unpacks to more than is searched".into());
            }
            return Ok(0);
        }
        let count = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match self.from.read(&mut buffer[..count]) {
            Ok(count) => {
                self.left -= count as u64;
                Ok(count)
            }
            Err(error) => {
                self.why = Some(format!("it cannot be unpacked: {error}"));
                Ok(0)
            }
        }
    }
}
