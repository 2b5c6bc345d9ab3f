//! The trusted keys: those that the user gave or pinned and their successors, without revoked ones.
//! Accepted statements are kept: a release that omits a revocation does not undo it.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use crate::dsse::Envelope;
use crate::error::{Error, IoContext as _};
use crate::key_statement::{KeyChange, KeyStatement};
use crate::signers::{self, Signer};
use crate::{lock, strict_json};

/// The store's file in the state folder.
pub const FILE: &str = "release-trust.json";

const SCHEMA: u32 = 1;
const LIMIT: u64 = 4 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: u32,
    /// Lines of `allowed_signers`.
    pinned: Vec<String>,
    /// Envelopes of accepted statements, in the order of acceptance.
    statements: Vec<String>,
    /// The highest serial number of each key, by fingerprint.
    serials: BTreeMap<String, u64>,
    /// The latest known build time of a trusted release, seconds since 1970.
    latest: i64,
}

impl Stored {
    fn read(path: &Utf8Path) -> Result<Self, Error> {
        let stored: Self = match fs::read(path) {
            Ok(bytes) => strict_json::parse(&bytes, LIMIT).map_err(|error| Error::damaged(path, error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Self { schema: SCHEMA, ..Self::default() }
            }
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
    stored: Stored,
    is_changed: bool,
}

impl TrustStore {
    /// The store of a state folder; empty if it does not exist yet.
    pub fn open(state_dir: &Utf8Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        let stored = Stored::read(&path)?;
        Ok(Self { path, stored, is_changed: false })
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
        Replace::new(&self.path).write(text).at("write", &self.path)?;
        self.is_changed = false;
        Ok(())
    }
}

/// The trusted keys, and those that are no longer trusted.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    signers: Vec<Signer>,
    /// Pairs of a key and its successor.
    successors: Vec<(PublicKey, PublicKey)>,
    revoked: Vec<(PublicKey, String)>,
}

impl Trusted {
    /// The given keys and what is known about them.
    pub fn new(signers: Vec<Signer>, store: &TrustStore) -> Self {
        let mut trusted = Self { signers, ..Self::default() };
        for text in &store.stored.statements {
            if let Ok(envelope) = Envelope::parse(text.as_bytes())
                && let Ok(statement) = KeyStatement::of(&envelope)
            {
                // A statement about a key that is not trusted is ignored.
                let _ = trusted.apply(&envelope, &statement);
            }
        }
        trusted
    }

    /// Whether no key is trusted.
    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    /// The signer of this key, who may sign at `now` (seconds since 1970).
    pub fn signer(&self, key: &PublicKey, now: i64) -> Result<&Signer, String> {
        let same = |other: &PublicKey| other.key_data() == key.key_data();
        if let Some((_, reason)) = self.revoked.iter().find(|(revoked, _)| same(revoked)) {
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", shown(reason)) };
            return Err(format!("the key {} was revoked{reason}", crate::key::fingerprint(key)));
        }
        let mut why = format!("the key {} is not trusted", crate::key::fingerprint(key));
        for signer in self.signers.iter().filter(|signer| same(&signer.key)) {
            match signer.may_sign(now) {
                Ok(()) => return Ok(signer),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// Accepts the valid statements of a release or a file at `now` (seconds since 1970). Returns the problems of the
    /// others.
    pub fn learn(&mut self, envelopes: &[Envelope], now: i64, store: &mut TrustStore) -> Vec<String> {
        let mut wrong = Vec::new();
        for envelope in envelopes {
            if let Err(why) = self.learn_one(envelope, now, store) {
                wrong.push(why);
            }
        }
        wrong
    }

    fn learn_one(&mut self, envelope: &Envelope, now: i64, store: &mut TrustStore) -> Result<(), String> {
        let statement = KeyStatement::of(envelope)?;
        let text = envelope.to_json();
        // Already known, even if signed again: Ed25519 signatures are deterministic.
        if store.stored.statements.contains(&text) {
            return Ok(());
        }
        let name = statement.fingerprint();
        // If only the successor is trusted, statements about its predecessors are irrelevant.
        if !self.signers.iter().any(|signer| signer.key.key_data() == statement.key.key_data()) {
            return Ok(());
        }
        if let KeyChange::Rotate { successor, .. } = &statement.change
            && !self.may_sign(&statement.key, now)
        {
            // A statement has no date: an expired key could name a successor that never expires. What that successor
            // says of the key still counts.
            statement.check(envelope, &[]).map_err(|why| format!("a statement about {name}: {why}"))?;
            self.successors.push((statement.key.clone(), successor.clone()));
            return Ok(());
        }
        let highest = store.stored.serials.get(&name).copied().unwrap_or_default();
        // A revocation is final, and needs no order: a thief could have used up the numbers.
        let is_final = matches!(statement.change, KeyChange::Revoke { .. });
        if statement.serial <= highest && !is_final {
            return Err(format!(
                "a statement about {name} has the serial number {}, and {highest} was seen already",
                statement.serial
            ));
        }
        self.apply(envelope, &statement)?;
        store.stored.statements.push(text);
        store.stored.serials.insert(name, statement.serial.max(highest));
        store.is_changed = true;
        Ok(())
    }

    /// Whether the list of keys lets this one sign at `now`.
    fn may_sign(&self, key: &PublicKey, now: i64) -> bool {
        let mut of_key = self.signers.iter().filter(|signer| signer.key.key_data() == key.key_data());
        of_key.any(|signer| signer.may_sign(now).is_ok())
    }

    fn apply(&mut self, envelope: &Envelope, statement: &KeyStatement) -> Result<(), String> {
        let is = |key: &PublicKey| key.key_data() == statement.key.key_data();
        let name = statement.fingerprint();
        let Some(known) = self.signers.iter().find(|signer| is(&signer.key)).cloned() else {
            return Err(format!("a statement is about {name}, which is not trusted"));
        };
        let chain: Vec<PublicKey> = self.successors_of(&statement.key);
        statement.check(envelope, &chain).map_err(|why| format!("a statement about {name}: {why}"))?;
        match &statement.change {
            KeyChange::Rotate { .. } if self.revoked.iter().any(|(key, _)| is(key)) => {
                Err(format!("a statement about {name}: it was revoked, and can have no successor"))
            }
            KeyChange::Rotate { successor, .. } if self.has_successor_besides(&statement.key, successor) => {
                Err(format!("a statement about {name}: it has another successor already"))
            }
            KeyChange::Rotate { successor, principal } => {
                let signer = Signer { principal: principal.clone(), key: successor.clone(), ..known };
                self.signers.push(signer.without_times());
                self.successors.push((statement.key.clone(), successor.clone()));
                Ok(())
            }
            KeyChange::Revoke { reason } => {
                self.revoked.push((statement.key.clone(), reason.clone()));
                Ok(())
            }
        }
    }

    /// Whether another key is the direct successor: a thief of the old key could name a second one.
    fn has_successor_besides(&self, key: &PublicKey, successor: &PublicKey) -> bool {
        let is_other = |(from, to): &(PublicKey, PublicKey)| {
            from.key_data() == key.key_data() && to.key_data() != successor.key_data()
        };
        self.successors.iter().any(is_other)
    }

    /// All direct and indirect successors of a key.
    fn successors_of(&self, key: &PublicKey) -> Vec<PublicKey> {
        let mut found: Vec<PublicKey> = vec![key.clone()];
        let mut at = 0;
        while at < found.len() {
            for (from, to) in &self.successors {
                let is_new = !found.iter().any(|key| key.key_data() == to.key_data());
                if from.key_data() == found[at].key_data() && is_new {
                    found.push(to.clone());
                }
            }
            at += 1;
        }
        found.split_off(1)
    }
}

/// Foreign text on one line.
fn shown(text: &str) -> String {
    text.chars().take(200).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
