//! The untrusted folder of a release: links are not followed, and pipes are not opened.

use std::fs::{self, File};
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags, openat};

use crate::relative_path::{MAX_DEPTH, RelativePath};

/// Maximum number of entries.
const MAX_ENTRIES: usize = 10_000;

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

impl Folder {
    /// Opens the folder.
    pub fn open(path: &Utf8Path) -> io::Result<Self> {
        let root = File::open(path)?;
        if !root.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"));
        }
        Ok(Self { root, path: path.to_owned() })
    }

    /// Every file, recursively, and everything else that is not a folder. Folders are entries only if they are nested
    /// too deeply.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        list(&self.path, "", 1, &mut entries)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Opens a regular file for reading, component by component, without following links.
    pub fn file(&self, path: &RelativePath) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut parts = path.parts().peekable();
        let mut at = None;
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_some() { flags | OFlags::DIRECTORY } else { flags };
            let opened = openat(at.as_ref().unwrap_or(&self.root), part, flags, Mode::empty())?;
            at = Some(File::from(opened));
        }
        let file = at.ok_or(io::ErrorKind::NotFound)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
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

fn list(folder: &Utf8Path, below: &str, depth: usize, entries: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entries.len() >= MAX_ENTRIES {
            return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} files")));
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        // The entry itself: links are not followed.
        let metadata = entry.metadata()?;
        let kind = if metadata.is_dir() {
            if depth < MAX_DEPTH && entry.file_name().to_str().is_some() {
                list(&folder.join(&name), &path, depth + 1, entries)?;
                continue;
            }
            EntryKind::Other("a folder that is too deep")
        } else if metadata.is_symlink() {
            EntryKind::Other("a symbolic link")
        } else if !metadata.is_file() {
            EntryKind::Other("not a regular file")
        } else {
            match path.parse() {
                Ok(path) if entry.file_name().to_str().is_some() => {
                    EntryKind::File { path, size: metadata.len() }
                }
                _ => EntryKind::Other("a name that no release has"),
            }
        };
        entries.push(Entry { path: path.escape_debug().to_string(), kind });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_listed_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap();
        fs::create_dir_all(path.join("real/below")).unwrap();
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
        assert_eq!(found, ["below/a", "folder", "link"]);
        assert_eq!(entries[1].kind, EntryKind::Other("a symbolic link"));
        assert!(folder.read(&"below/a".parse().unwrap(), 0).unwrap_err().to_string().contains("more than 0"));
    }
}
