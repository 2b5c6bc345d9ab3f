//! The folder on the host that is written to, and its current state.

use std::io::{self, Read as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::tree::beneath::{Found, Kind, Root};

use crate::blobs::Blobs;
use crate::byte_path::BytePath;
use crate::changes::MAX_TEXT;
use crate::digest::{Digest, Hasher};
use crate::entry::Entry;
use crate::error::Error;

/// The folder of a workspace on the host.
pub(crate) struct Host {
    root: Root,
    folder: Utf8PathBuf,
    umask: u32,
}

/// The state of a path on the host.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) what: What,
    found: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Nothing,
    Folder,
    File { executable: bool, digest: Digest },
    Link(Vec<u8>),
    Other,
}

impl What {
    /// Whether it matches an entry.
    pub(crate) fn is(&self, entry: Option<&Entry>) -> bool {
        match (self, entry) {
            (Self::Nothing, None) | (Self::Folder, Some(Entry::Folder)) => true,
            (Self::File { executable, digest }, Some(Entry::File { executable: other, content })) => {
                executable == other && *digest == content.digest
            }
            (Self::Link(target), Some(Entry::Link { target: other })) => *target == other.0,
            _ => false,
        }
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::File { digest, .. } => Some(*digest),
            _ => None,
        }
    }
}

impl Host {
    pub(crate) fn open(folder: &Utf8Path) -> Result<Self, Error> {
        let root = Root::open(folder.as_std_path()).map_err(Error::io("open", folder))?;
        Ok(Self { root, folder: folder.to_owned(), umask: umask() })
    }

    /// Whether names that only differ in case are the same here, found out with a file that is created and removed.
    pub(crate) fn folds_case(&self) -> bool {
        let probe = || -> io::Result<bool> {
            let new = self.root.new_file(b"Rave-Case-Probe")?;
            let folds = self.root.find(b".rave-case-probe.rave-partial")?.is_some();
            drop(new);
            Ok(folds)
        };
        probe().unwrap_or(false)
    }

    /// The state of a path. No link is followed.
    pub(crate) fn state(&self, path: &BytePath) -> Result<Now, Error> {
        self.try_state(path).map_err(Error::io("read", self.folder.join(path.to_string())))
    }

    fn try_state(&self, path: &BytePath) -> io::Result<Now> {
        let Some(found) = self.root.find(path.bytes())? else {
            return Ok(Now { what: What::Nothing, found: None });
        };
        let (what, found) = match found.kind {
            Kind::Folder => (What::Folder, found),
            Kind::Link => (What::Link(self.root.read_link(path.bytes())?), found),
            Kind::Other => (What::Other, found),
            Kind::File => {
                let (mut file, found) = self.root.read(path.bytes())?;
                let mut hasher = Hasher::default();
                let mut buffer = vec![0; 256 * 1024];
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        length => hasher.update(&buffer[..length]),
                    }
                }
                let executable = crate::entry::is_executable(found.mode);
                (What::File { executable, digest: hasher.finish() }, found)
            }
        };
        Ok(Now { what, found: Some(found) })
    }

    /// The text of a file; nothing if it is too long to merge.
    pub(crate) fn text(&self, path: &BytePath) -> io::Result<Option<Vec<u8>>> {
        let (file, found) = self.root.read(path.bytes())?;
        let mut text = Vec::new();
        file.take(MAX_TEXT + 1).read_to_end(&mut text)?;
        Ok((text.len() as u64 <= MAX_TEXT && found.stamp.size <= MAX_TEXT).then_some(text))
    }

    /// Whether a path is unchanged since `now`.
    pub(crate) fn is_still(&self, path: &BytePath, now: &Now) -> io::Result<bool> {
        let found = self.root.find(path.bytes())?;
        // A folder changes with its content.
        Ok(found == now.found
            || (now.what == What::Folder && found.is_some_and(|found| found.kind == Kind::Folder)))
    }

    /// Writes a file, replacing what is there.
    pub(crate) fn write_file(
        &self,
        path: &BytePath,
        now: &Now,
        executable: bool,
        content: &mut dyn io::Read,
    ) -> io::Result<()> {
        self.make_room(path, now)?;
        let mut new = self.root.new_file(path.bytes())?;
        io::copy(content, &mut new.file)?;
        new.file.flush()?;
        new.file.sync_data()?;
        if !self.is_still(path, now)? && now.what != What::Folder {
            return Err(io::Error::other("it changed while it was being written"));
        }
        new.commit(self.mode(now, executable))
    }

    /// The mode of a file: the previous one, with changed executable bits, or that of a new file.
    fn mode(&self, now: &Now, executable: bool) -> u32 {
        let earlier =
            now.found.as_ref().filter(|found| found.kind == Kind::File).map(|found| found.mode & 0o777);
        match (earlier, executable) {
            (Some(mode), true) => mode | ((mode & 0o444) >> 2),
            (Some(mode), false) => mode & !0o111,
            (None, true) => 0o777 & !self.umask,
            (None, false) => 0o666 & !self.umask,
        }
    }

    pub(crate) fn write_link(&self, path: &BytePath, now: &Now, target: &[u8]) -> io::Result<()> {
        self.make_room(path, now)?;
        self.root.make_link(path.bytes(), target)
    }

    pub(crate) fn write_folder(&self, path: &BytePath, now: &Now) -> io::Result<()> {
        if !matches!(now.what, What::Nothing | What::Folder) {
            self.root.remove(path.bytes())?;
        }
        self.root.make_folder(path.bytes())
    }

    /// Removes a file or a link, or a folder if it is empty.
    pub(crate) fn remove(&self, path: &BytePath, now: &Now) -> io::Result<()> {
        match now.what {
            What::Nothing => Ok(()),
            What::Folder => self.root.remove_folder(path.bytes()).map(drop),
            _ => self.root.remove(path.bytes()).map(drop),
        }
    }

    /// Removes a folder if it exists and is empty.
    pub(crate) fn remove_empty(&self, path: &BytePath) -> io::Result<()> {
        match self.root.find(path.bytes())?.map(|found| found.kind) {
            Some(Kind::Folder) => self.root.remove_folder(path.bytes()).map(drop),
            _ => Ok(()),
        }
    }

    /// Creates the folders above, and removes an empty folder in the place of a file.
    fn make_room(&self, path: &BytePath, now: &Now) -> io::Result<()> {
        let (folder, _) = rave_guest::tree::path::split(path.bytes());
        if !folder.is_empty() {
            self.root.make_folder(folder)?;
        }
        if now.what == What::Folder && !self.root.remove_folder(path.bytes())? {
            return Err(io::Error::other("there is a folder with files in its place"));
        }
        Ok(())
    }

    /// Writes a stored entry.
    pub(crate) fn write_entry(
        &self,
        path: &BytePath,
        now: &Now,
        entry: &Entry,
        blobs: &Blobs,
    ) -> io::Result<()> {
        match entry {
            Entry::Folder => self.write_folder(path, now),
            Entry::Link { target } => self.write_link(path, now, &target.0),
            Entry::File { executable, content } => {
                self.write_file(path, now, *executable, &mut blobs.open(content)?)
            }
        }
    }
}

/// `Umask` of `proc_pid_status(5)`: umask(2) would change it for every thread.
pub(crate) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o077)
}
