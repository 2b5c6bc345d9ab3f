//! Reads the tree of an ext4 file system at any offset in a file, without mounting it. Untrusted file systems are read
//! too: damage ends the reading with an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use ext4_view::{DirEntry, Ext4, Ext4Error, Ext4Read, FileType, Metadata, Path, PathBuf};
use rave_process::{Cmd, interrupt};

use super::entry::{DeviceNumbers, EntryKind, TreeEntry};
use crate::digest::Hasher;

/// Bytes of a file's content read at once.
const CHUNK: usize = 1 << 18;

/// The longest path that Linux accepts, bytes (limits.h, `PATH_MAX`). A damaged folder may contain itself.
const LONGEST_PATH: usize = 4096;

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file system is damaged, or is not ext4.
    #[error("not a valid ext4 file system: {0}")]
    FileSystem(#[from] Ext4Error),
    /// A folder contains itself, or similar damage.
    #[error("its folders are nested too deeply at {0}")]
    TooDeep(String),
    /// It took too long.
    #[error("gave up after {} s at {at}", limit.as_secs())]
    TooLong {
        /// The time limit.
        limit: Duration,
        /// The path that was being read.
        at: String,
    },
    /// debugfs failed to report the numbers of devices.
    #[error("the numbers of its devices cannot be read: {0}")]
    Devices(String),
    /// The file with the file system cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: Utf8PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The visitor of the entries failed.
    #[error("{0}")]
    Visitor(#[from] std::io::Error),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

/// How long reading may take; a damaged file system may contain a file of exabytes.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// For the whole tree.
    pub time: Duration,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(600) }
    }
}

/// An entry and the raw bytes of its texts.
pub(super) struct VisitedEntry<'a> {
    pub(super) path: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) entry: TreeEntry,
}

/// The content of a file system's entry.
pub enum Visited<'a> {
    /// A regular file.
    File {
        /// Bytes of its content.
        size: u64,
        /// The bytes.
        content: &'a mut dyn Read,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: &'a [u8],
    },
    /// A folder, device, pipe or socket.
    Other,
}

/// The attributes of an entry besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) is_folder: bool,
    /// The lower 12 bits of `st_mode`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Modification time, seconds since 1970.
    pub(crate) modified: i64,
}

impl Attributes {
    fn of(metadata: &Metadata) -> Self {
        Self {
            is_folder: metadata.is_dir(),
            mode: metadata.mode().into(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: metadata.modified().seconds(),
        }
    }
}

/// Visits an entry, given its path without a leading slash.
pub type Visit<'a> = dyn FnMut(&str, Visited<'_>) -> std::io::Result<()> + 'a;

/// The same with the path as bytes, and the attributes.
pub(crate) type VisitBytes<'a> = dyn FnMut(&[u8], &Attributes, Visited<'_>) -> std::io::Result<()> + 'a;

type EachEntry<'a> = dyn FnMut(&Walk<'_>, &PathBuf, &Metadata) -> Result<(), TreeError> + 'a;

/// The bytes of a file, within the time limit.
struct Bytes<'a> {
    walk: &'a Walk<'a>,
    path: &'a PathBuf,
    file: &'a mut ext4_view::File,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.walk.check_limits(self.path).map_err(std::io::Error::other)?;
        self.file.read_bytes(buffer).map_err(std::io::Error::other)
    }
}

/// A file system in a file.
pub struct Ext4Tree {
    fs: Ext4,
    image: Utf8PathBuf,
    start: u64,
}

/// A part of a file, as the file system's reader expects it.
struct FilePart {
    file: File,
    start: u64,
    size: u64,
}

impl Ext4Read for FilePart {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        let end = start_byte.checked_add(dst.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(format!("it ends before byte {start_byte}").into());
        }
        self.file.read_exact_at(dst, self.start.saturating_add(start_byte))?;
        Ok(())
    }
}

impl Ext4Tree {
    /// Opens the file system of `size` bytes that starts at byte `start` of a file.
    pub fn open(image: &Utf8Path, start: u64, size: u64) -> Result<Self, TreeError> {
        let file = File::open(image).map_err(|source| TreeError::Open { path: image.to_owned(), source })?;
        let fs = Ext4::load(Box::new(FilePart { file, start, size }))?;
        Ok(Self { fs, image: image.to_owned(), start })
    }

    /// The file that contains it.
    pub fn image(&self) -> &Utf8Path {
        &self.image
    }

    /// Opens one of its files.
    pub fn file(&self, path: &str) -> Result<ext4_view::File, TreeError> {
        Ok(self.fs.open(format!("/{path}").as_str())?)
    }

    /// Visits every entry, the root folder first, a folder before its content, names in byte order. Memory use is
    /// bounded by the names in the folders on the way to the entry.
    pub(super) fn walk(
        &self,
        limits: &ReadLimits,
        visit: &mut dyn FnMut(VisitedEntry<'_>) -> std::io::Result<()>,
    ) -> Result<(), TreeError> {
        let mut target = Vec::new();
        self.each(limits, &mut |walk, path, metadata| Ok(visit(walk.found(path, metadata, &mut target)?)?))
    }

    /// Visits every file with its bytes, every link with its target, and other entries by their paths, in the same
    /// order.
    pub fn contents(&self, limits: &ReadLimits, visit: &mut Visit<'_>) -> Result<(), TreeError> {
        self.entries(limits, &mut |path, _, entry| visit(&text(path), entry))
    }

    /// The same with the bytes of the paths, and with modes, owners and times.
    pub(crate) fn entries(&self, limits: &ReadLimits, visit: &mut VisitBytes<'_>) -> Result<(), TreeError> {
        self.each(limits, &mut |walk, path, metadata| {
            let name = path.as_ref().strip_prefix(b"/").unwrap_or_default();
            let attributes = Attributes::of(metadata);
            match metadata.file_type() {
                FileType::Regular if metadata.len() > 0 => {
                    let mut file = self.fs.open(Path::new(path))?;
                    let mut bytes = Bytes { walk, path, file: &mut file };
                    visit(name, &attributes, Visited::File { size: metadata.len(), content: &mut bytes })?;
                }
                FileType::Regular => {
                    visit(name, &attributes, Visited::File { size: 0, content: &mut std::io::empty() })?;
                }
                FileType::Symlink => {
                    let target = self.fs.read_link(path)?;
                    visit(name, &attributes, Visited::Link { target: target.as_ref() })?;
                }
                _ => visit(name, &attributes, Visited::Other)?,
            }
            Ok(())
        })
    }

    fn each(&self, limits: &ReadLimits, visit: &mut EachEntry<'_>) -> Result<(), TreeError> {
        let walk = Walk { tree: self, started: Instant::now(), limit: limits.time };
        let root = PathBuf::new("/");
        visit(&walk, &root, &self.fs.symlink_metadata(&root)?)?;
        let mut folders = vec![walk.names(&root)?];
        while let Some(names) = folders.last_mut() {
            let Some(entry) = names.pop_front() else {
                folders.pop();
                continue;
            };
            let path = entry.path();
            let metadata = entry.metadata()?;
            walk.check_limits(&path)?;
            visit(&walk, &path, &metadata)?;
            if metadata.is_dir() {
                if path.as_ref().len() > LONGEST_PATH {
                    return Err(TreeError::TooDeep(text(&path.as_ref()[..64])));
                }
                folders.push(walk.names(&path)?);
            }
        }
        Ok(())
    }

    /// The numbers of a device, which only debugfs(8) can print.
    fn numbers(&self, path: &[u8]) -> Result<DeviceNumbers, TreeError> {
        let failed = |detail: String| TreeError::Devices(detail);
        let path = std::str::from_utf8(path).map_err(|_| failed("a name is not UTF-8".into()))?;
        if path.contains(['"', '\n']) {
            return Err(failed(format!("debugfs takes no name such as {path:?}")));
        }
        // "?offset=" is e2fsprogs' syntax for a file system inside a file (unix_io.c).
        let image = format!("{}?offset={}", self.image, self.start);
        let request = format!("stat \"/{path}\"");
        let command = Cmd::new("debugfs").args(["-R", &request, &image]).timeout(Duration::from_secs(60));
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        parse_numbers(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| failed(format!("debugfs reports none of /{path}")))
    }
}

/// `Device major/minor number: 01:03 (hex 01:03)`; the first two are decimal.
pub(super) fn parse_numbers(stat: &str) -> Option<DeviceNumbers> {
    let rest = stat.lines().find_map(|line| line.trim().strip_prefix("Device major/minor number: "))?;
    let (major, minor) = rest.split_whitespace().next()?.split_once(':')?;
    Some(DeviceNumbers { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

struct Walk<'a> {
    tree: &'a Ext4Tree,
    started: Instant,
    limit: Duration,
}

impl Walk<'_> {
    fn check_limits(&self, at: &PathBuf) -> Result<(), TreeError> {
        if interrupt::requested().is_some() {
            return Err(TreeError::Interrupted);
        }
        if self.started.elapsed() > self.limit {
            return Err(TreeError::TooLong { limit: self.limit, at: text(at.as_ref()) });
        }
        Ok(())
    }

    /// The content of a folder, in the order of names.
    fn names(&self, folder: &PathBuf) -> Result<VecDeque<DirEntry>, TreeError> {
        let mut entries = Vec::new();
        for entry in self.tree.fs.read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != "." && name != ".." {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.file_name().as_ref().cmp(b.file_name().as_ref()));
        Ok(entries.into())
    }

    fn found<'p>(
        &self,
        path: &'p PathBuf,
        metadata: &Metadata,
        target: &'p mut Vec<u8>,
    ) -> Result<VisitedEntry<'p>, TreeError> {
        let below = path.as_ref().strip_prefix(b"/").unwrap_or_default();
        target.clear();
        let kind = match metadata.file_type() {
            FileType::Directory => EntryKind::Folder,
            FileType::Regular => self.content(path, metadata)?,
            FileType::Symlink => {
                target.extend_from_slice(self.tree.fs.read_link(path)?.as_ref());
                EntryKind::Link { target: text(target) }
            }
            FileType::CharacterDevice => EntryKind::CharacterDevice(self.tree.numbers(below)?),
            FileType::BlockDevice => EntryKind::BlockDevice(self.tree.numbers(below)?),
            FileType::Fifo => EntryKind::Pipe,
            FileType::Socket => EntryKind::Socket,
        };
        let Attributes { mode, uid, gid, modified, .. } = Attributes::of(metadata);
        let entry = TreeEntry { path: text(below), kind, mode, uid, gid, modified };
        Ok(VisitedEntry { path: below, target, entry })
    }

    fn content(&self, path: &PathBuf, metadata: &Metadata) -> Result<EntryKind, TreeError> {
        let mut hasher = Hasher::default();
        if metadata.len() > 0 {
            let mut file = self.tree.fs.open(Path::new(path))?;
            let mut chunk = vec![0; CHUNK];
            loop {
                self.check_limits(path)?;
                let filled = read_full(&mut file, &mut chunk)?;
                hasher.update(&chunk[..filled]);
                if filled < chunk.len() {
                    break;
                }
            }
        }
        Ok(EntryKind::File { size: metadata.len(), sha256: hasher.finish() })
    }
}

/// Fills the buffer as far as the file's remaining bytes go; the reader returns one block at a time.
pub(crate) fn read_full(file: &mut ext4_view::File, buffer: &mut [u8]) -> Result<usize, Ext4Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_bytes(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
