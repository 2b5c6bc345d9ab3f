//! Contents that were pushed or pulled, in pack files with many contents each. git cannot read them, and no agent has
//! written to them.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use crate::content::{BlobPlace, Content};
use crate::digest::Hasher;

/// Bytes per write.
const BUFFER: usize = 1 << 20;

/// A folder of contents.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: Utf8PathBuf,
}

impl Blobs {
    /// Contents in this folder, which need not exist yet.
    pub fn new(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, pack: u32) -> Utf8PathBuf {
        self.folder.join(format!("{pack}.pack"))
    }

    fn packs(&self) -> io::Result<Vec<u32>> {
        let entries = match self.folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let number = |entry: io::Result<camino::Utf8DirEntry>| {
            entry.ok()?.file_name().strip_suffix(".pack")?.parse().ok()
        };
        Ok(entries.filter_map(number).collect())
    }

    /// Creates a pack file. Its contents are only used once a record refers to them.
    pub fn writer(&self) -> io::Result<BlobWriter> {
        fs::create_dir_all(&self.folder)?;
        let pack = self.packs()?.into_iter().max().map_or(1, |last| last + 1);
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(pack))?;
        Ok(BlobWriter { file: BufWriter::with_capacity(BUFFER, open), pack, offset: 0 })
    }

    /// Reads a content of at most `limit` bytes.
    pub fn read(&self, content: &Content, limit: u64) -> io::Result<Vec<u8>> {
        if content.size > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
        }
        let mut bytes = vec![0; usize::try_from(content.size).map_err(|_| io::ErrorKind::FileTooLarge)?];
        File::open(self.path(content.place.pack))?.read_exact_at(&mut bytes, content.place.offset)?;
        Ok(bytes)
    }

    /// Opens a content for reading.
    pub fn open(&self, content: &Content) -> io::Result<impl Read + use<>> {
        let mut file = File::open(self.path(content.place.pack))?;
        file.seek(SeekFrom::Start(content.place.offset))?;
        Ok(file.take(content.size))
    }

    /// Hard-links every pack file to another folder: they never change.
    pub fn link_to(&self, other: &Self) -> io::Result<()> {
        fs::create_dir_all(&other.folder)?;
        self.packs()?.into_iter().try_for_each(|pack| fs::hard_link(self.path(pack), other.path(pack)))
    }

    /// Removes the pack files that none of these contents is in.
    pub fn keep<'a>(&self, contents: impl Iterator<Item = &'a Content>) -> io::Result<()> {
        let used: BTreeSet<u32> = contents.map(|content| content.place.pack).collect();
        for pack in self.packs()?.into_iter().filter(|pack| !used.contains(pack)) {
            fs::remove_file(self.path(pack))?;
        }
        Ok(())
    }
}

/// A pack file that is being written.
#[derive(Debug)]
pub struct BlobWriter {
    file: BufWriter<File>,
    pack: u32,
    offset: u64,
}

impl BlobWriter {
    /// Starts a content.
    pub fn begin(&mut self) -> Blob<'_> {
        Blob { size: 0, hasher: Hasher::default(), to: self }
    }

    /// Adds a content.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<Content> {
        let mut blob = self.begin();
        blob.write(bytes)?;
        Ok(blob.finish())
    }

    /// Writes all of it to the disk.
    pub fn finish(self) -> io::Result<()> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
    }
}

/// A content that is being written.
pub struct Blob<'a> {
    to: &'a mut BlobWriter,
    size: u64,
    hasher: Hasher,
}

impl Blob<'_> {
    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.to.file.write_all(bytes)
    }

    /// Ends the content.
    pub fn finish(self) -> Content {
        let place = BlobPlace { pack: self.to.pack, offset: self.to.offset };
        self.to.offset += self.size;
        Content { digest: self.hasher.finish(), size: self.size, place }
    }
}
