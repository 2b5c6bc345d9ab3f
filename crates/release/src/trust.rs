//! The trusted keys: those that the user gave or pinned and their successors, without revoked ones.
//! Accepted statements are kept: a release that omits a revocation does not undo it.

mod store;

use camino::Utf8Path;
use ssh_key::PublicKey;

use crate::dsse::Envelope;
use crate::error::Error;
use crate::key_statement::{self, KeyChange, KeyStatement};
use crate::signers::Signer;
pub use store::{FILE, TrustStore};

/// The bytes of a file of statements that a release will include; fails unless its receivers will accept them.
pub fn publishable(path: &Utf8Path) -> Result<Vec<u8>, Error> {
    let (bytes, envelopes) = key_statement::read(path)?;
    replay(&envelopes)
        .map_err(|why| Error::damaged(path, format!("receivers would not accept it: {why}")))?;
    Ok(bytes)
}

/// Fails unless every receiver who trusts one of the keys accepts the statements, each when it is published.
pub fn replay(envelopes: &[Envelope]) -> Result<(), String> {
    let mut receivers: Vec<PublicKey> = Vec::new();
    for envelope in envelopes {
        let key = KeyStatement::of(envelope)?.key;
        if !receivers.iter().any(|other| other.key_data() == key.key_data()) {
            receivers.push(key);
        }
    }
    for key in receivers {
        let mut store = TrustStore::in_memory();
        let mut trusted = Trusted::new(vec![Signer::new("receiver", key)], &store);
        for envelope in envelopes {
            let learned = trusted.learn(std::slice::from_ref(envelope), 0, &mut store);
            if let Some((_, why)) = learned.wrong.into_iter().next() {
                return Err(why);
            }
        }
    }
    Ok(())
}

/// The trusted keys, and those that are no longer trusted.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    signers: Vec<Signer>,
    /// Pairs of a key and its successor.
    successors: Vec<(PublicKey, PublicKey)>,
    revoked: Vec<(PublicKey, String)>,
    /// Accepted statements of the store about keys that are not trusted, or not yet.
    stored: Vec<(Envelope, KeyStatement)>,
}

/// What became of some statements, by their numbers.
#[derive(Debug, Default)]
pub struct Learned {
    /// Those that are not valid, and why.
    pub wrong: Vec<(usize, String)>,
    /// Those about keys that are not trusted: they change nothing.
    pub ignored: Vec<usize>,
}

/// Why a statement is not accepted.
enum Refused {
    /// Its key is not trusted.
    Unknown,
    /// It revokes a key, and neither that key nor a known successor signed it.
    Unsigned(String),
    Wrong(String),
}

impl Refused {
    fn why(self) -> String {
        match self {
            Self::Unknown => "its key is not trusted".into(),
            Self::Unsigned(why) | Self::Wrong(why) => why,
        }
    }
}

impl Trusted {
    /// The given keys and what is known about them.
    pub fn new(signers: Vec<Signer>, store: &TrustStore) -> Self {
        let read = |text: &String| {
            let envelope = Envelope::parse(text.as_bytes()).ok()?;
            let statement = KeyStatement::of(&envelope).ok()?;
            Some((envelope, statement))
        };
        let stored = store.stored.statements.iter().filter_map(read).collect();
        let mut trusted = Self { signers, stored, ..Self::default() };
        trusted.settle();
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

    /// Accepts the valid statements of a release or a file at `now` (seconds since 1970), in any order in which each
    /// is about a key that is trusted by then.
    pub fn learn(&mut self, envelopes: &[Envelope], now: i64, store: &mut TrustStore) -> Learned {
        let mut learned = Learned::default();
        let mut left: Vec<(usize, &Envelope)> = envelopes.iter().enumerate().collect();
        'again: loop {
            let known = self.known();
            let (mut ignored, mut unsigned, mut at) = (Vec::new(), Vec::new(), 0);
            while let Some((number, envelope)) = left.get(at).copied() {
                match self.learn_one(envelope, now, store) {
                    Err(Refused::Unknown) => ignored.push(number),
                    Err(Refused::Unsigned(why)) => unsigned.push((number, why)),
                    result => {
                        left.remove(at);
                        learned.wrong.extend(result.err().map(|refused| (number, refused.why())));
                        if self.known() != known {
                            // First what was known or came earlier: it may revoke the key that is trusted now, before
                            // that key names a successor.
                            self.settle();
                            continue 'again;
                        }
                        continue;
                    }
                }
                at += 1;
            }
            learned.wrong.extend(unsigned);
            learned.wrong.sort();
            return Learned { ignored, ..learned };
        }
    }

    /// What decides whether a statement can be accepted that could not be before.
    fn known(&self) -> (usize, usize) {
        (self.signers.len(), self.successors.len())
    }

    /// Applies stored statements about keys that were not trusted before.
    fn settle(&mut self) {
        loop {
            let known = self.known();
            let stored = std::mem::take(&mut self.stored);
            self.stored = stored
                .into_iter()
                .filter(|(envelope, statement)| self.apply(envelope, statement).is_err())
                .collect();
            if self.known() == known {
                return;
            }
        }
    }

    fn learn_one(&mut self, envelope: &Envelope, now: i64, store: &mut TrustStore) -> Result<(), Refused> {
        let statement = KeyStatement::of(envelope).map_err(Refused::Wrong)?;
        let text = envelope.to_json();
        // Already known, even if signed again: Ed25519 signatures are deterministic.
        if store.stored.statements.contains(&text) {
            return Ok(());
        }
        let name = statement.fingerprint();
        // If only the successor is trusted, statements about its predecessors are irrelevant.
        if !self.signers.iter().any(|signer| signer.key.key_data() == statement.key.key_data()) {
            return Err(Refused::Unknown);
        }
        if let KeyChange::Rotate { successor, .. } = &statement.change
            && !self.may_sign(&statement.key, now)
        {
            // A statement has no date: an expired key could name a successor that never expires. What that successor
            // says of the key still counts.
            statement
                .check(envelope, &[])
                .map_err(|why| Refused::Wrong(format!("a statement about {name}: {why}")))?;
            self.succeed(&statement.key, successor);
            return Ok(());
        }
        let highest = store.stored.serials.get(&name).copied().unwrap_or_default();
        // A revocation is final, and needs no order: a thief could have used up the numbers.
        let is_final = matches!(statement.change, KeyChange::Revoke { .. });
        if statement.serial <= highest && !is_final {
            return Err(Refused::Wrong(format!(
                "a statement about {name} has the serial number {}, and {highest} was seen already",
                statement.serial
            )));
        }
        // Repetitions are not stored: a thief could fill the store with them.
        if self.apply(envelope, &statement)? {
            store.stored.statements.push(text);
            store.is_changed = true;
        }
        if statement.serial > highest {
            store.stored.serials.insert(name, statement.serial);
            store.is_changed = true;
        }
        Ok(())
    }

    /// Whether the list of keys lets this one sign at `now`.
    fn may_sign(&self, key: &PublicKey, now: i64) -> bool {
        let mut of_key = self.signers.iter().filter(|signer| signer.key.key_data() == key.key_data());
        of_key.any(|signer| signer.may_sign(now).is_ok())
    }

    /// Applies a valid statement; returns whether it says something new.
    fn apply(&mut self, envelope: &Envelope, statement: &KeyStatement) -> Result<bool, Refused> {
        let is = |key: &PublicKey| key.key_data() == statement.key.key_data();
        let about = |why: &str| format!("a statement about {}: {why}", statement.fingerprint());
        let known = self.signers.iter().find(|signer| is(&signer.key)).cloned().ok_or(Refused::Unknown)?;
        let chain = self.successors_of(&statement.key);
        let is_revoked = self.revoked.iter().any(|(key, _)| is(key));
        match (&statement.change, statement.check(envelope, &chain)) {
            (KeyChange::Rotate { .. }, Err(why)) => Err(Refused::Wrong(about(&why))),
            // Its signer may be a successor that is not known yet.
            (KeyChange::Revoke { .. }, Err(why)) => Err(Refused::Unsigned(about(&why))),
            (KeyChange::Rotate { .. }, Ok(())) if is_revoked => {
                Err(Refused::Wrong(about("it was revoked, and can have no successor")))
            }
            (KeyChange::Rotate { successor, .. }, Ok(()))
                if self.has_successor_besides(&statement.key, successor) =>
            {
                Err(Refused::Wrong(about("it has another successor already")))
            }
            (KeyChange::Rotate { successor, principal }, Ok(())) => {
                let signer = Signer { principal: principal.clone(), key: successor.clone(), ..known };
                let signer = signer.without_times();
                let is_new = !self.signers.contains(&signer);
                if is_new {
                    self.signers.push(signer);
                }
                Ok(self.succeed(&statement.key, successor) || is_new)
            }
            (KeyChange::Revoke { reason }, Ok(())) => {
                if !is_revoked {
                    self.revoked.push((statement.key.clone(), reason.clone()));
                }
                Ok(!is_revoked)
            }
        }
    }

    /// Notes the successor of a key; returns whether that is new.
    fn succeed(&mut self, key: &PublicKey, successor: &PublicKey) -> bool {
        let is_known = |(from, to): &(PublicKey, PublicKey)| {
            from.key_data() == key.key_data() && to.key_data() == successor.key_data()
        };
        if self.successors.iter().any(is_known) {
            return false;
        }
        self.successors.push((key.clone(), successor.clone()));
        true
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
