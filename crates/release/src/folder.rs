//! The untrusted folder of a release: links are not followed, and pipes are not opened.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::interrupt;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};

use crate::error::{Error, IoContext as _};
use crate::relative_path::{MAX_DEPTH, RelativePath};

/// Maximum number of entries.
const MAX_ENTRIES: usize = 10_000;

/// Bytes read at once.
pub(crate) const CHUNK: usize = 1 << 20;

/// A folder that may be untrusted.
#[derive(Debug)]
pub struct Folder {
    root: File,
    path: Utf8PathBuf,
}

/// An entry in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path relative to the folder, as text.
    pub path: String,
    /// Its kind.
    pub kind: EntryKind,
}

/// The kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file at a path that is allowed in a release.
    File {
        /// The path.
        path: RelativePath,
        /// Bytes.
        size: u64,
    },
    /// Anything else, described as text.
    Other(&'static str),
}

/// Why something is not opened: text for a reader.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotOpened(pub(crate) &'static str);

const LINK: &str = "it is a symbolic link";
const SPECIAL: &str = "it is not a regular file";

fn not_opened(why: &'static str) -> io::Error {
    io::Error::other(NotOpened(why))
}

/// Whatever is opened: nothing blocks, and no terminal becomes that of this process.
const SAFE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens a regular file that a user named, so links are followed. Devices and pipes are not opened.
pub fn regular_file(path: &Utf8Path) -> io::Result<File> {
    let kind = FileType::from_raw_mode(statat(CWD, path.as_std_path(), AtFlags::empty())?.st_mode);
    if kind != FileType::RegularFile {
        return Err(not_opened(SPECIAL));
    }
    let file = File::from(openat(CWD, path.as_std_path(), SAFE, Mode::empty())?);
    // It may have been replaced meanwhile.
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_opened(SPECIAL)) }
}

/// The content of a file of at most `limit` bytes that a user named. It may be a pipe, such as a shell's `<(...)`.
pub(crate) fn read_named(path: &Utf8Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).at("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(Error::damaged(path, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Passes on the bytes of a file that may grow endlessly: one more than its `size` was makes another digest.
pub(crate) fn bytes_of(file: &File, size: u64, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut file = file.take(size.saturating_add(1));
    let mut chunk = vec![0; CHUNK];
    loop {
        interrupt::check().map_err(io::Error::other)?;
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        take(&chunk[..count]);
    }
}

/// The content of a file of at most `limit` bytes in the folder of a release.
pub(crate) fn read(folder: &Utf8Path, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let path = folder.join(name);
    let name = name.parse().map_err(|why: String| Error::damaged(&path, why))?;
    Folder::open(folder).and_then(|folder| folder.read(&name, limit)).at("read", &path)
}

impl Folder {
    /// Opens the folder. The path may be a link to one, such as `latest` of a published tree.
    pub fn open(path: &Utf8Path) -> io::Result<Self> {
        match openat(CWD, path.as_std_path(), SAFE | OFlags::DIRECTORY, Mode::empty()) {
            Ok(root) => Ok(Self { root: File::from(root), path: path.to_owned() }),
            Err(rustix::io::Errno::NOTDIR) => {
                Err(io::Error::new(io::ErrorKind::NotADirectory, NotOpened("it is not a folder")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Every file, recursively, and everything else that is not a folder. Folders are entries only if they are empty or
    /// nested too deeply.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        list(&self.root, "", 1, &mut entries)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Opens a regular file for reading, component by component, without following links.
    pub fn file(&self, path: &RelativePath) -> io::Result<File> {
        let mut parts = path.parts().peekable();
        let mut at = None;
        while let Some(part) = parts.next() {
            let folder = at.as_ref().unwrap_or(&self.root);
            let kind = FileType::from_raw_mode(statat(folder, part, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
            let flags = match (kind, parts.peek()) {
                (FileType::RegularFile, None) => OFlags::empty(),
                (FileType::Directory, Some(_)) => OFlags::DIRECTORY,
                (FileType::Symlink, _) => return Err(not_opened(LINK)),
                _ => return Err(not_opened(SPECIAL)),
            };
            at = Some(File::from(openat(folder, part, SAFE | OFlags::NOFOLLOW | flags, Mode::empty())?));
        }
        let file = at.ok_or(io::ErrorKind::NotFound)?;
        // It may have been replaced meanwhile.
        if file.metadata()?.is_file() { Ok(file) } else { Err(not_opened(SPECIAL)) }
    }

    /// The content of a file of at most `limit` bytes.
    pub fn read(&self, path: &RelativePath, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.file(path)?;
        let too_long = || io::Error::other(format!("it has more than {limit} bytes"));
        if file.metadata()?.len() > limit {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit { Err(too_long()) } else { Ok(bytes) }
    }
}

fn list(folder: impl AsFd, below: &str, depth: usize, entries: &mut Vec<Entry>) -> io::Result<()> {
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} files")));
        }
        let shown = name.to_string_lossy();
        let path = if below.is_empty() { shown.into_owned() } else { format!("{below}/{shown}") };
        let is_text = name.to_str().is_ok();
        // The entry itself: links are not followed.
        let found = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory if depth < MAX_DEPTH && is_text => {
                let flags = SAFE | OFlags::NOFOLLOW | OFlags::DIRECTORY;
                let count = entries.len();
                list(openat(&folder, name, flags, Mode::empty())?, &path, depth + 1, entries)?;
                if entries.len() > count {
                    continue;
                }
                EntryKind::Other("an empty folder")
            }
            FileType::Directory if is_text => EntryKind::Other("a folder that is too deep"),
            FileType::Directory => EntryKind::Other("a name that no release has"),
            FileType::Symlink => EntryKind::Other("a symbolic link"),
            FileType::RegularFile => match path.parse() {
                Ok(path) if is_text => {
                    EntryKind::File { path, size: u64::try_from(found.st_size).unwrap_or_default() }
                }
                _ => EntryKind::Other("a name that no release has"),
            },
            _ => EntryKind::Other("not a regular file"),
        };
        entries.push(Entry { path: path.escape_debug().to_string(), kind });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn links_are_listed_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap();
        fs::create_dir_all(path.join("real/below")).unwrap();
        fs::create_dir_all(path.join("real/empty/below")).unwrap();
        fs::write(path.join("real/below/a"), "a").unwrap();
        fs::write(path.join("outside"), "secret").unwrap();
        symlink("../outside", path.join("real/link")).unwrap();
        symlink("below", path.join("real/folder")).unwrap();
        let folder = Folder::open(&path.join("real")).unwrap();
        let read = |name: &str| folder.read(&name.parse().unwrap(), 10).map_err(|error| error.to_string());
        assert_eq!(read("below/a"), Ok(b"a".to_vec()));
        for name in ["link", "folder/a", "below", "nothing"] {
            assert!(read(name).is_err(), "{name}");
        }
        let entries = folder.entries().unwrap();
        let found: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(found, ["below/a", "empty/below", "folder", "link"]);
        assert_eq!(entries[1].kind, EntryKind::Other("an empty folder"));
        assert_eq!(entries[2].kind, EntryKind::Other("a symbolic link"));
        assert!(folder.read(&"below/a".parse().unwrap(), 0).unwrap_err().to_string().contains("more than 0"));
    }

    #[test]
    fn special_files_are_not_opened() {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap();
        rustix::fs::mknodat(CWD, path.join("pipe").as_std_path(), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _listening = UnixListener::bind(path.join("socket")).unwrap();
        symlink("/dev/zero", path.join("device")).unwrap();
        symlink("pipe", path.join("to-pipe")).unwrap();
        let folder = Folder::open(path).unwrap();
        let why = |name: &str| folder.file(&name.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(["pipe", "socket", "device", "to-pipe"].map(why), [SPECIAL, SPECIAL, LINK, LINK]);
        for name in ["pipe", "socket", "device", "to-pipe"] {
            let opened = Folder::open(&path.join(name)).unwrap_err();
            assert_eq!(opened.to_string(), "it is not a folder", "{name}");
            assert_eq!(regular_file(&path.join(name)).unwrap_err().to_string(), SPECIAL, "{name}");
        }
        // A folder that a link of a published tree names.
        fs::create_dir(path.join("1.2.0")).unwrap();
        fs::write(path.join("1.2.0/a"), "a").unwrap();
        symlink("1.2.0", path.join("latest")).unwrap();
        assert_eq!(Folder::open(&path.join("latest")).unwrap().entries().unwrap().len(), 1);
    }
}
