//! The state folder's file of pinned keys and accepted statements.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext as _};
use crate::signers::{self, Signer};
use crate::{lock, strict_json};

/// The store's file in the state folder.
pub const FILE: &str = "release-trust.json";

const SCHEMA: u32 = 1;
const LIMIT: u64 = 4 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    schema: u32,
    /// Lines of `allowed_signers`.
    pinned: Vec<String>,
    /// Envelopes of accepted statements, in the order of acceptance.
    pub(super) statements: Vec<String>,
    /// The highest serial number of each key, by fingerprint.
    pub(super) serials: BTreeMap<String, u64>,
    /// The latest known build time of a trusted release, seconds since 1970.
    latest: i64,
}

impl Stored {
    fn new() -> Self {
        Self { schema: SCHEMA, ..Self::default() }
    }

    fn read(path: &Utf8Path) -> Result<Self, Error> {
        let stored: Self = match fs::read(path) {
            Ok(bytes) => strict_json::parse(&bytes, LIMIT).map_err(|error| Error::damaged(path, error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::new(),
            Err(error) => return Err(Error::io("read", path, error)),
        };
        if stored.schema != SCHEMA {
            let detail = format!("its schema is {}, this version reads {SCHEMA}", stored.schema);
            return Err(Error::damaged(path, detail));
        }
        Ok(stored)
    }

    /// Adds what another process saved, which it accepted earlier.
    fn join(&mut self, other: Self) {
        let merge = |own: &mut Vec<String>, earlier: Vec<String>| {
            let new: Vec<String> = own.drain(..).filter(|one| !earlier.contains(one)).collect();
            *own = [earlier, new].concat();
        };
        merge(&mut self.pinned, other.pinned);
        merge(&mut self.statements, other.statements);
        for (key, serial) in other.serials {
            let own = self.serials.entry(key).or_default();
            *own = serial.max(*own);
        }
        self.latest = self.latest.max(other.latest);
    }
}

/// The state that persists between calls.
#[derive(Debug, Clone)]
pub struct TrustStore {
    path: Utf8PathBuf,
    pub(super) stored: Stored,
    pub(super) is_changed: bool,
}

impl TrustStore {
    /// The store of a state folder; empty if it does not exist yet.
    pub fn open(state_dir: &Utf8Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        let stored = Stored::read(&path)?;
        Ok(Self { path, stored, is_changed: false })
    }

    /// A store that is never saved.
    pub fn in_memory() -> Self {
        Self { path: Utf8PathBuf::new(), stored: Stored::new(), is_changed: false }
    }

    /// Pins the keys of an `allowed_signers` in addition to existing ones. Returns the new keys.
    pub fn pin(&mut self, text: &str) -> Result<Vec<Signer>, Error> {
        let damaged = |detail| Error::damaged("the keys to pin", detail);
        signers::parse(text).map_err(damaged)?;
        let mut new = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if !self.stored.pinned.iter().any(|pinned| pinned == line) {
                self.stored.pinned.push(line.to_owned());
                self.is_changed = true;
                new.extend(signers::parse(line).map_err(damaged)?);
            }
        }
        Ok(new)
    }

    /// The pinned keys.
    pub fn pinned(&self) -> Result<Vec<Signer>, Error> {
        let read = |line: &String| {
            signers::parse(line)
                .map_err(|error| Error::damaged(&self.path, error))
                .map(|mut one| one.remove(0))
        };
        self.stored.pinned.iter().map(read).collect()
    }

    /// The latest known build time of a trusted release: a clock before it is not trusted.
    pub fn latest(&self) -> i64 {
        self.stored.latest
    }

    /// Records the build time of a trusted release.
    pub fn saw(&mut self, made: i64) {
        if made > self.stored.latest {
            self.stored.latest = made;
            self.is_changed = true;
        }
    }

    /// Writes changes atomically, together with those that another process has saved since this store was opened.
    pub fn save(&mut self) -> Result<(), Error> {
        if !self.is_changed {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        let _lock = lock::take(&self.path.with_extension("lock"), &mut |_| ())?;
        self.stored.join(Stored::read(&self.path)?);
        let text =
            serde_json::to_vec_pretty(&self.stored).map_err(|error| Error::damaged(&self.path, error))?;
        if text.len() as u64 > LIMIT {
            return Err(Error::damaged(&self.path, format!("it would have more than {LIMIT} bytes")));
        }
        Replace::new(&self.path).write(text).at("write", &self.path)?;
        self.is_changed = false;
        Ok(())
    }
}
