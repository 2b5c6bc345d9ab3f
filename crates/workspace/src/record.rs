//! The host's record of a workspace: what was pushed, and what was pulled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_process::interrupt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::byte_path::BytePath;
use crate::digest::Digest;
use crate::entry::{Entry, Stamp};
use crate::error::Error;

/// The version of the records.
const SCHEMA: u32 = 1;

/// The files of a workspace, in the folder of its sandbox.
///
/// | file | what |
/// | --- | --- |
/// | `lock` | locked by the command that pushes, pulls or applies |
/// | `base.json` | what was pushed: the merge base |
/// | `pull.json` | the differences in the guest at the last pull |
/// | `apply.json` | the journal of an `apply` that is running or was killed |
/// | `contents/` | the contents that these refer to |
/// | `contents/` | the contents that these name |
#[derive(Debug, Clone)]
pub struct Place {
    folder: Utf8PathBuf,
}

impl Place {
    /// The workspace in the folder of a sandbox.
    pub fn new(sandbox: &Utf8Path) -> Self {
        Self { folder: sandbox.join("workspace") }
    }

    /// The contents.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(&self.folder.join("contents"))
    }

    fn base(&self) -> Utf8PathBuf {
        self.folder.join("base.json")
    }

    fn pull(&self) -> Utf8PathBuf {
        self.folder.join("pull.json")
    }

    pub(crate) fn journal(&self) -> Utf8PathBuf {
        self.folder.join("apply.json")
    }

    /// Copies the workspace to the folder of another sandbox, replacing that sandbox's; contents are hard-linked.
    pub fn copy_to(&self, sandbox: &Utf8Path) -> Result<(), Error> {
        self.hold(BUSY)?.copy_to(sandbox)
    }

    /// Keeps the workspace unchanged until the value is dropped: nobody can push, pull or apply meanwhile. Waits for
    /// commands that do, for `limit` at most.
    pub fn hold(&self, limit: Duration) -> Result<Held, Error> {
        // Locking creates the folder, and without a push there is nothing to hold.
        let lock = if self.base().exists() { Some(self.try_lock(limit)?) } else { None };
        Ok(Held { place: self.clone(), _lock: lock })
    }

    /// Takes the lock, which the kernel releases with the process (flock(2)).
    pub fn lock(&self) -> Result<File, Error> {
        loop {
            let (file, path) = self.lock_file()?;
            file.lock().map_err(Error::io("lock", &path))?;
            // A restore may have replaced the folder: then this lock protects nothing.
            if is_at(&file, &path) {
                return Ok(file);
            }
        }
    }

    /// The same for a caller with another lock that the holder of this one may wait for: gives up after `limit`.
    pub fn try_lock(&self, limit: Duration) -> Result<File, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let (file, path) = self.lock_file()?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(file),
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(Error::Busy),
                Err(TryLockError::WouldBlock) => interrupt::pause(RETRY_INTERVAL)?,
            }
        }
    }

    fn lock_file(&self) -> Result<(File, Utf8PathBuf), Error> {
        private_dir(&self.folder)?;
        let path = self.folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        Ok((file.map_err(Error::io("lock", &path))?, path))
    }
}

/// How long a command that uses more than the workspace waits for a push, pull or apply.
pub const BUSY: Duration = Duration::from_secs(30);
/// The interval between attempts to lock.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// A workspace that nobody can change.
#[derive(Debug)]
pub struct Held {
    place: Place,
    _lock: Option<File>,
}

impl Held {
    /// Copies it to the folder of another sandbox, replacing that sandbox's: completely, or not at all.
    pub fn copy_to(&self, sandbox: &Utf8Path) -> Result<(), Error> {
        let (place, other) = (&self.place, Place::new(sandbox));
        if !place.base().exists() {
            return remove_all(&other.folder);
        }
        let new = Place { folder: sandbox.join(".workspace.new") };
        remove_all(&new.folder)?;
        let copied = copy(place, &new).and_then(|()| put(&new.folder, &other.folder));
        if copied.is_err() {
            let _ = remove_all(&new.folder); // report the first error
        }
        copied
    }
}

fn copy(place: &Place, new: &Place) -> Result<(), Error> {
    private_dir(&new.folder)?;
    for (from, to) in [(place.pull(), new.pull()), (place.base(), new.base())] {
        match Replace::new(&to).mode(0o600).copy(&from) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("write", &to)(error)),
            _ => {}
        }
    }
    place.blobs().link_to(&new.blobs()).map_err(Error::io("copy", &place.folder))
}

/// Renames a complete folder into place, replacing what is there.
fn put(new: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    remove_all(to)?;
    fs::rename(new, to).map_err(Error::io("make", to))
}

fn private_dir(folder: &Utf8Path) -> Result<(), Error> {
    rave_fs::private_dir(folder).map_err(Error::io("make", folder))
}

fn remove_all(folder: &Utf8Path) -> Result<(), Error> {
    rave_fs::remove_all(folder).map_err(Error::io("remove", folder))
}

fn is_at(file: &File, path: &Utf8Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), path.metadata()), (Ok(a), Ok(b)) if same(&a, &b))
}

/// One pushed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The pushed entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// The version of the host's file that was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Stamp>,
    /// The version of the guest's file that has this content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Stamp>,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// The folder on the host.
    pub source: Utf8PathBuf,
    /// The folder in the guest, relative to its user's home.
    pub guest: String,
    /// Whether the folder on the host is in a git repository.
    pub is_git: bool,
    /// Whether the guest's copy has its first commit.
    pub has_history: bool,
    /// Paths or patterns to copy even if they are ignored or look like secrets.
    pub include: Vec<String>,
    /// git's rules from outside of the tree.
    pub excludes: String,
    /// The time of the last push, in seconds since 1970.
    pub pushed: u64,
    /// What was pushed: the merge base.
    pub entries: BTreeMap<BytePath, Known>,
    /// Paths that looked like secrets and were not copied, and why.
    pub withheld: BTreeMap<BytePath, String>,
    /// The guest's entries that were taken as a patch or a branch, which leaves the merge base unchanged.
    pub taken: BTreeMap<BytePath, Option<Entry>>,
}

impl Record {
    /// The record of a folder before its first push.
    pub fn new(source: &Utf8Path, guest: &str) -> Self {
        Self {
            schema: SCHEMA,
            source: source.to_owned(),
            guest: guest.to_owned(),
            is_git: false,
            has_history: false,
            include: Vec::new(),
            excludes: String::new(),
            pushed: 0,
            entries: BTreeMap::new(),
            withheld: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// Reads the record; nothing if nothing was pushed.
    pub fn find(place: &Place) -> Result<Option<Self>, Error> {
        read(&place.base())
    }

    /// Only the folder on the host, for lists of sandboxes. Nothing if nothing was pushed or the record cannot be read.
    pub fn source_of(place: &Place) -> Option<Utf8PathBuf> {
        #[derive(Deserialize)]
        struct Source {
            source: Utf8PathBuf,
        }
        let bytes = fs::read(place.base()).ok()?;
        serde_json::from_slice(&bytes).ok().map(|Source { source }| source)
    }

    /// Reads the record.
    pub fn get(place: &Place) -> Result<Self, Error> {
        Self::find(place)?.ok_or(Error::NoWorkspace)
    }

    /// Writes the record.
    pub fn save(&self, place: &Place) -> Result<(), Error> {
        write(&place.base(), self)
    }

    /// The pushed entry of a path.
    pub fn entry(&self, path: &BytePath) -> Option<&Entry> {
        self.entries.get(path).map(|known| &known.entry)
    }

    /// Whether something in a folder was not copied.
    pub fn has_withheld_in(&self, folder: &BytePath) -> bool {
        let inside = BytePath([folder.bytes(), b"/"].concat());
        let first = self.withheld.range(inside..).next();
        first.is_some_and(|(path, _)| path.is_in(folder.bytes()))
    }

    /// Why a path, or a folder above it, was not copied.
    pub fn withheld_at(&self, path: &BytePath) -> Option<&str> {
        let is_it = |(known, _): &(&BytePath, &String)| path.is_in(known.bytes());
        self.withheld.iter().find(is_it).map(|(_, why)| why.as_str())
    }
}

/// Why a path without content is not fetched.
pub(crate) const NO_FILE: &str = "it is a pipe, a socket or a device";

/// One path that differs in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The current entry; nothing if it was removed.
    pub entry: Option<Entry>,
    /// The version of the guest's file.
    pub stamp: Option<Stamp>,
}

/// The differences in the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    schema: u32,
    /// The time of the pull, in seconds since 1970.
    pub when: u64,
    /// The differences from what was pushed.
    pub changes: BTreeMap<BytePath, Pulled>,
    /// Paths that differ but were not fetched, and why.
    pub left: BTreeMap<BytePath, String>,
}

impl Pull {
    /// An empty result of a pull that happens now.
    pub fn new() -> Self {
        Self { schema: SCHEMA, when: now(), ..Self::default() }
    }

    /// Reads the last pull; nothing if there was none.
    pub fn find(place: &Place) -> Result<Option<Self>, Error> {
        read(&place.pull())
    }

    /// Writes it.
    pub fn save(&self, place: &Place) -> Result<(), Error> {
        write(&place.pull(), self)
    }

    /// Whether a path is a folder that was added or removed together with its content.
    pub fn is_implied(&self, path: &BytePath, before: Option<&Entry>) -> bool {
        let after = self.changes.get(path).and_then(|pulled| pulled.entry.as_ref());
        let ((Some(Entry::Folder), None) | (None, Some(Entry::Folder))) = (before, after) else {
            return false;
        };
        let inside = BytePath([path.bytes(), b"/"].concat());
        self.changes.range(inside..).next().is_some_and(|(other, _)| other.is_in(path.bytes()))
    }

    /// Files that may have changed but were not fetched, and why.
    pub fn unfetched(&self) -> impl Iterator<Item = (&BytePath, &String)> {
        self.left.iter().filter(|(_, why)| *why != NO_FILE)
    }

    /// Changes that were neither applied nor taken.
    pub fn unapplied(&self, record: &Record) -> BTreeSet<BytePath> {
        let is_open = |(path, pulled): &(&BytePath, &Pulled)| {
            let taken = record.taken.get(*path);
            !self.is_implied(path, record.entry(path))
                && !taken.is_some_and(|taken| crate::entry::same(taken.as_ref(), pulled.entry.as_ref()))
        };
        self.changes.iter().filter(is_open).map(|(path, _)| path.clone()).collect()
    }
}

/// One step of an `apply`, recorded before anything is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) path: BytePath,
    /// The new merge base.
    pub(crate) base: Option<Entry>,
    /// The version of the guest's file, if the base becomes its content.
    pub(crate) stamp: Option<Stamp>,
    /// The content on the host after this step; nothing if the path is removed, or is not a file.
    pub(crate) host: Option<Digest>,
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}

pub(crate) fn read<T: DeserializeOwned>(path: &Utf8Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|error| Error::BadRecord { path: path.to_owned(), why: error.to_string() })
}

pub(crate) fn write(path: &Utf8Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec(value).map_err(|error| Error::io("write", path)(error.into()))?;
    Replace::new(path).mode(0o600).write(text).map_err(Error::io("write", path))
}
