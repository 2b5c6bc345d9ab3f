//! Reads and writes below a folder with openat2(2): no component of a path may be a link, and none leads out.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, mkdirat, openat, openat2,
    readlinkat, renameat, statat, symlinkat, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::path::{above, join, split};
use super::wire::Stamp;

/// The largest number of attempts if the kernel detects a rename on the way (openat2(2), EAGAIN).
const ATTEMPTS: u32 = 16;

/// The kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// An entry, without following links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// The permission bits of chmod(2).
    pub mode: u32,
    /// Its version.
    pub stamp: Stamp,
}

/// A folder that no path leads out of.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// The folder that was opened last: files usually arrive folder by folder.
    last: Mutex<Option<(Vec<u8>, Arc<OwnedFd>)>>,
}

/// Flags of open(2) for a folder that only serves as a location.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const STRICT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Root {
    /// Opens an existing folder. Links on the way to it are followed, because its caller is trusted.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, folder, flags, Mode::empty())?;
        Ok(Self { fd, last: Mutex::new(None) })
    }

    /// Opens a folder, and creates it if it is missing.
    pub fn make(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Self::open(folder)
    }

    /// Writes everything on the folder's file system to its disk (syncfs(2)): one flush, however many files there are.
    pub fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(syncfs(openat(&self.fd, ".", flags, Mode::empty())?)?)
    }

    /// The entry at a path; nothing if it does not exist, or a component is not a folder.
    pub fn find(&self, path: &[u8]) -> io::Result<Option<Found>> {
        let (folder, name) = split(path);
        let folder = match self.folder(folder) {
            Err(error) if is_absent(&error) => return Ok(None),
            other => other?,
        };
        match statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(found(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file for reading, and returns its version.
    pub fn read(&self, path: &[u8]) -> io::Result<(File, Found)> {
        let (folder, name) = split(path);
        // Opening a pipe would otherwise wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = openat(&*self.folder(folder)?, name, flags, Mode::empty())?;
        let found = found(&fstat(&fd)?);
        if found.kind != Kind::File {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok((File::from(fd), found))
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let (folder, name) = split(path);
        Ok(readlinkat(&*self.folder(folder)?, name, Vec::new())?.into_bytes())
    }

    /// The names in a folder, sorted; an empty path is the root.
    pub fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let place = self.folder(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&*place, c".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Creates a folder with its parents; an existing one stays unchanged.
    pub fn make_folder(&self, path: &[u8]) -> io::Result<()> {
        for path in above(path).chain([path]).filter(|path| !path.is_empty()) {
            let (folder, name) = split(path);
            match mkdirat(&*self.folder(folder)?, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Something other than a folder may have existed.
        self.folder(path).map(drop)
    }

    /// Sets the mode of a folder.
    pub fn set_folder_mode(&self, path: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&*self.folder(path)?, c".", flags, Mode::empty())?;
        Ok(fchmod(fd, Mode::from_raw_mode(mode & 0o777))?)
    }

    /// Starts a file that gets its name once it is complete. Its folder must exist.
    pub fn new_file(&self, path: &[u8]) -> io::Result<NewFile> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        let temporary = temporary(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(&*folder, &temporary, flags, Mode::from_raw_mode(0o600));
        let fd = match open() {
            // Left over by a process that was killed.
            Err(Errno::EXIST) => {
                unlinkat(&*folder, &temporary, AtFlags::empty())?;
                open()?
            }
            other => other?,
        };
        Ok(NewFile { file: File::from(fd), folder, temporary, name: name.to_vec(), is_done: false })
    }

    /// Creates a symbolic link, replacing a file or link of the same name.
    pub fn make_link(&self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        let temporary = temporary(name);
        match unlinkat(&*folder, &temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        symlinkat(target, &*folder, &temporary)?;
        renameat(&*folder, &temporary, &*folder, name).map_err(|error| {
            let _ = unlinkat(&*folder, &temporary, AtFlags::empty());
            error.into()
        })
    }

    /// Removes a file or a link. Returns whether there was one.
    pub fn remove(&self, path: &[u8]) -> io::Result<bool> {
        self.unlink(path, AtFlags::empty())
    }

    /// Removes a folder if it is empty. Returns whether it was.
    pub fn remove_folder(&self, path: &[u8]) -> io::Result<bool> {
        self.forget(path);
        match self.unlink(path, AtFlags::REMOVEDIR) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            other => other,
        }
    }

    /// Removes the entry at a path, with everything below it.
    pub fn remove_all(&self, path: &[u8]) -> io::Result<()> {
        let mut open = vec![(path.to_vec(), false)];
        while let Some((path, was_emptied)) = open.pop() {
            match self.find(&path)?.map(|found| found.kind) {
                None => {}
                Some(Kind::Folder) if was_emptied => drop(self.remove_folder(&path)?),
                Some(Kind::Folder) => {
                    let names = self.names(&path)?;
                    open.push((path.clone(), true));
                    open.extend(names.iter().map(|name| (join(&path, name), false)));
                }
                Some(_) => drop(self.remove(&path)?),
            }
        }
        Ok(())
    }

    fn unlink(&self, path: &[u8], flags: AtFlags) -> io::Result<bool> {
        let (folder, name) = split(path);
        let folder = match self.folder(folder) {
            Err(error) if is_absent(&error) => return Ok(false),
            other => other?,
        };
        match unlinkat(&*folder, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the last folder if it may be removed.
    fn forget(&self, path: &[u8]) {
        let mut last = self.last();
        if last.as_ref().is_some_and(|(known, _)| known.starts_with(path)) {
            *last = None;
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Vec<u8>, Arc<OwnedFd>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, path: &[u8]) -> io::Result<Arc<OwnedFd>> {
        if let Some((known, fd)) = &*self.last()
            && known == path
        {
            return Ok(Arc::clone(fd));
        }
        let name = if path.is_empty() { b".".as_slice() } else { path };
        let mut attempts = 0;
        let fd = loop {
            match openat2(self.fd.as_fd(), name, PLACE, Mode::empty(), STRICT) {
                Err(Errno::AGAIN) if attempts < ATTEMPTS => attempts += 1,
                other => break Arc::new(other?),
            }
        };
        *self.last() = Some((path.to_vec(), Arc::clone(&fd)));
        Ok(fd)
    }
}

/// An incomplete file; without [`NewFile::commit`] it is removed.
#[derive(Debug)]
pub struct NewFile {
    /// The file, for writing.
    pub file: File,
    folder: Arc<OwnedFd>,
    temporary: Vec<u8>,
    name: Vec<u8>,
    is_done: bool,
}

impl NewFile {
    /// Sets its mode and renames it into place, replacing a file or link of the same name.
    pub fn commit(mut self, mode: u32) -> io::Result<()> {
        fchmod(&self.file, Mode::from_raw_mode(mode & 0o777))?;
        renameat(&*self.folder, &self.temporary, &*self.folder, &self.name)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = unlinkat(&*self.folder, &self.temporary, AtFlags::empty());
        }
    }
}

/// A temporary name, which never appears in a list of a folder's files.
fn temporary(name: &[u8]) -> Vec<u8> {
    [b".", &name[..name.len().min(200)], PARTIAL].concat()
}

/// The suffix of an incomplete file's name.
pub const PARTIAL: &[u8] = b".rave-partial";

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn found(stat: &Stat) -> Found {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    let seconds = u64::try_from(stat.st_ctime).unwrap_or_default();
    let part = stat.st_ctime_nsec;
    Found {
        kind,
        mode: stat.st_mode & 0o7777,
        stamp: Stamp {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            changed: seconds.saturating_mul(1_000_000_000).saturating_add(part),
            inode: stat.st_ino,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    fn write(root: &Root, path: &[u8], content: &[u8]) -> io::Result<()> {
        let mut new = root.new_file(path)?;
        new.file.write_all(content)?;
        new.commit(0o640)
    }

    #[test]
    fn links_in_a_path_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("a"), "theirs").unwrap();
        symlink(&outside, inside.join("absolute")).unwrap();
        symlink("../out", inside.join("relative")).unwrap();
        symlink("../out/a", inside.join("file")).unwrap();
        let root = Root::open(&inside).unwrap();
        for path in [b"absolute/a".as_slice(), b"relative/a", b"../out/a"] {
            assert!(write(&root, path, b"x").is_err(), "{path:?}");
            assert!(root.read(path).is_err(), "{path:?}");
            assert!(root.make_link(path, b"x").is_err(), "{path:?}");
            assert!(root.make_folder(&[path, b"b/c"].concat()).is_err(), "{path:?}");
            let _ = root.remove(path);
            let _ = root.remove_all(path);
        }
        assert!(root.read(b"file").is_err());
        // The link itself is replaced.
        write(&root, b"file", b"ours").unwrap();
        root.remove_all(b"absolute").unwrap();
        assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(inside.join("file")).unwrap(), "ours");
    }

    #[test]
    fn a_file_is_complete_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        root.make_folder(b"a/b").unwrap();
        write(&root, b"a/b/c", b"one").unwrap();
        let mut new = root.new_file(b"a/b/c").unwrap();
        new.file.write_all(b"half").unwrap();
        drop(new);
        fs::write(folder.path().join("a/b/.c.rave-partial"), "left").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a/b/c")).unwrap(), "one");
        write(&root, b"a/b/c", b"two").unwrap();
        assert_eq!(root.names(b"a/b").unwrap(), [b"c"]);
        let found = root.find(b"a/b/c").unwrap().unwrap();
        assert_eq!((found.kind, found.mode, found.stamp.size), (Kind::File, 0o640, 3));
        assert!(!root.remove_folder(b"a").unwrap());
        root.remove_all(b"a").unwrap();
        assert_eq!(root.find(b"a").unwrap(), None);
    }
}
