//! A published tree: versions as folders, and a link to the latest.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_process::progress::{Event, Sink};
use rave_process::{FileLock, Holder};
use semver::Version;

use super::latest::Latest;
use crate::error::{Error, IoContext as _};
use crate::lock;

/// The link.
pub const LATEST: &str = "latest";
/// The folder of incomplete releases.
pub const WORK: &str = ".publish";

const LOCK: &str = "lock";
const NEW_LINK: &str = "latest";

/// What exists at a version's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    Taken,
}

/// The tree, locked against other publishers.
pub(super) struct Tree {
    path: Utf8PathBuf,
    _lock: FileLock,
}

impl Tree {
    /// Opens it for a release in `folder`, and creates it if it does not exist.
    pub(super) fn open(path: &Utf8Path, folder: &Utf8Path, sink: Sink<'_>) -> Result<Self, Error> {
        let work = path.join(WORK);
        fs::create_dir_all(path).at("create", path)?;
        let [inner, outer] = [path, folder].map(|path| path.canonicalize_utf8().at("find", path));
        if inner?.starts_with(outer?) {
            return Err(not_a_tree(path, "it is inside the release's own folder"));
        }
        match fs::create_dir(&work) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_folder(&work)? => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(not_a_tree(&work, "it is not a folder"));
            }
            made => made.at("create", &work)?,
        }
        let lock = work.join(LOCK);
        // A link of that name would be followed, and a pipe would block.
        if fs::symlink_metadata(&lock).is_ok_and(|found| !found.is_file()) {
            return Err(not_a_tree(&lock, "it is not a regular file"));
        }
        let wait = &mut |holder: &Holder| {
            let text = format!("waiting for process {}, which publishes into the same tree", holder.pid);
            sink(Event::Note { text: &text });
        };
        let lock = lock::take(&lock, wait)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The path of a version.
    pub(super) fn path(&self, version: &Version) -> Utf8PathBuf {
        self.path.join(version.to_string())
    }

    pub(super) fn place(&self, version: &Version) -> Result<Place, Error> {
        let path = self.path(version);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Place::Taken),
            Ok(_) => Err(not_a_tree(&path, "it is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Free),
            Err(error) => Err(Error::io("look at", &path, error)),
        }
    }

    /// The version that the link names.
    pub(super) fn latest(&self) -> Result<Option<Version>, Error> {
        let path = self.path.join(LATEST);
        let target = match path.read_link_utf8() {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // EINVAL of readlink(2): it is not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(not_a_tree(&path, "it is not a symbolic link"));
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let version = target.as_str().parse().ok();
        version.map(Some).ok_or_else(|| not_a_tree(&path, "it does not lead to a version of this tree"))
    }

    /// The folder of an incomplete release. That of an earlier run with the same content is reused, others are removed.
    pub(super) fn stage(&self, version: &Version, content: &Digest) -> Result<Utf8PathBuf, Error> {
        let work = self.path.join(WORK);
        let folder = work.join(format!("{version}-{content}"));
        for entry in work.read_dir_utf8().at("list", &work)? {
            let path = entry.at("list", &work)?.into_path();
            if path == folder && is_folder(&path)? {
                continue;
            }
            if is_folder(&path)? {
                fs::remove_dir_all(&path).at("remove", &path)?;
            } else if path.file_name() != Some(LOCK) {
                fs::remove_file(&path).at("remove", &path)?;
            }
        }
        fs::create_dir_all(&folder).at("create", &folder)?;
        Ok(folder)
    }

    /// Makes a complete release visible, with one rename.
    pub(super) fn commit(&self, staged: &Utf8Path, folder: &Utf8Path) -> Result<(), Error> {
        // Its entries must be on the disk before its own name.
        sync_folders(staged)?;
        fs::rename(staged, folder).at("rename into", folder)?;
        sync(&self.path)
    }

    /// Moves the link to a version, if that is allowed.
    pub(super) fn move_latest(
        &self,
        at: Option<Version>,
        version: &Version,
        is_asked_for: bool,
    ) -> Result<Latest, Error> {
        match at {
            Some(at) if at == *version => return Ok(Latest::Already),
            // A newer version that was withdrawn leaves the link without a target.
            Some(at) if at > *version && !is_asked_for && self.place(&at)? == Place::Taken => {
                return Ok(Latest::StaysAtNewer(at));
            }
            at if !version.pre.is_empty() && !is_asked_for => return Ok(Latest::IsPreRelease(at)),
            _ => {}
        }
        let (new, path) = (self.path.join(WORK).join(NEW_LINK), self.path.join(LATEST));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &new, error));
            }
            _ => {}
        }
        symlink(version.to_string(), &new).at("create", &new)?;
        fs::rename(&new, &path).at("move", &path)?;
        sync(&self.path)?;
        Ok(Latest::Moved(at))
    }
}

fn not_a_tree(path: &Utf8Path, detail: &'static str) -> Error {
    Error::NotATree { path: path.to_owned(), detail }
}

/// Checks the entry itself: links are not followed.
fn is_folder(path: &Utf8Path) -> Result<bool, Error> {
    Ok(fs::symlink_metadata(path).at("look at", path)?.is_dir())
}

fn sync(folder: &Utf8Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).at("write", folder)
}

fn sync_folders(folder: &Utf8Path) -> Result<(), Error> {
    for entry in folder.read_dir_utf8().at("list", folder)? {
        let path = entry.at("list", folder)?.into_path();
        if is_folder(&path)? {
            sync_folders(&path)?;
        }
    }
    sync(folder)
}
