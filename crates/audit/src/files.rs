//! Where a record is stored, and where it is moved when its sandbox is removed.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Error;

/// The two files of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The lines.
    pub record: Utf8PathBuf,
    /// The number of lines and the hash of the last one.
    pub head: Utf8PathBuf,
}

impl Files {
    /// The record's files in this folder.
    pub fn at(folder: &Utf8Path) -> Self {
        Self { record: folder.join("audit.jsonl"), head: folder.join("audit-head") }
    }

    /// Moves them into a folder of `root`. Its name has the sandbox, the time of its removal and the time until which
    /// the record is kept, both in seconds since 1970. Does nothing if there is no record.
    pub fn keep(&self, root: &Utf8Path, sandbox: &str, removed: u64, until: u64) -> Result<(), Error> {
        if !self.record.exists() {
            return Ok(());
        }
        fs::create_dir_all(root.parent().unwrap_or(root)).map_err(|e| Error::io("make", root, e))?;
        let make = |folder: &Utf8Path| match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("make", folder, error)),
            _ => Ok(()),
        };
        make(root)?;
        // A record of the same name that was removed in the same second keeps its own folder.
        let name = |at: u64| root.join(format!("{sandbox}.{at}.{until}"));
        let mut folder = name(removed);
        for at in removed + 1.. {
            if !folder.exists() {
                break;
            }
            folder = name(at);
        }
        make(&folder)?;
        let to = Self::at(&folder);
        // The head moves last: the record is complete once it has arrived.
        for (from, to) in [(&self.record, &to.record), (&self.head, &to.head)] {
            match fs::rename(from, to) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("keep", from, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A record that outlives its sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The name of the sandbox.
    pub sandbox: String,
    /// When the sandbox was removed, in seconds since 1970.
    pub removed: u64,
    /// How long the record is kept, in seconds since 1970.
    pub until: u64,
    folder: Utf8PathBuf,
}

impl Kept {
    /// Its files.
    pub fn files(&self) -> Files {
        Files::at(&self.folder)
    }

    /// Removes it.
    pub fn forget(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.folder).map_err(|e| Error::io("remove", &self.folder, e))
    }

    fn of(folder: &Utf8Path) -> Option<Self> {
        let mut fields = folder.file_name()?.split('.');
        let kept = Self {
            sandbox: fields.next()?.to_owned(),
            removed: fields.next()?.parse().ok()?,
            until: fields.next()?.parse().ok()?,
            folder: folder.to_owned(),
        };
        fields.next().is_none().then_some(kept)
    }
}

/// Every record below `root` that outlives its sandbox, in the order of removal.
pub fn kept(root: &Utf8Path) -> Result<Vec<Kept>, Error> {
    let entries = match root.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", root, error)),
    };
    let mut kept: Vec<Kept> = entries.flatten().filter_map(|entry| Kept::of(entry.path())).collect();
    kept.sort_by_key(|one| (one.removed, one.sandbox.clone()));
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_outlives_its_sandbox_by_name_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let root = folder.join("state/audit");
        assert_eq!(kept(&root).unwrap(), []);
        for text in ["first", "second"] {
            let files = Files::at(folder);
            fs::write(&files.record, text).unwrap();
            fs::write(&files.head, "head").unwrap();
            files.keep(&root, "a-b", 100, 200).unwrap();
            assert!(!files.record.exists() && !files.head.exists());
        }
        fs::create_dir(root.join("strange")).unwrap();
        let kept = kept(&root).unwrap();
        let all: Vec<_> = kept.iter().map(|one| (one.sandbox.as_str(), one.removed, one.until)).collect();
        assert_eq!(all, [("a-b", 100, 200), ("a-b", 101, 200)]);
        assert_eq!(fs::read_to_string(kept[1].files().record).unwrap(), "second");
        kept[0].forget().unwrap();
        assert_eq!(super::kept(&root).unwrap().len(), 1);
    }
}
