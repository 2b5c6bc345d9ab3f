//! Rotated keys, and revoked keys.

use std::fs;

use rave_release::dsse::Envelope;
use rave_release::key::SigningKey;
use rave_release::key_statement::{KeyChange, KeyStatement};
use rave_release::signers::Signer;
use rave_release::trust::{TrustStore, Trusted};

struct Keys {
    folder: tempfile::TempDir,
    old: SigningKey,
    new: SigningKey,
}

impl Keys {
    fn new() -> Self {
        let key = |name| SigningKey::in_memory(name).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), old: key("old"), new: key("new") }
    }

    fn store(&self) -> TrustStore {
        TrustStore::open(camino::Utf8Path::from_path(self.folder.path()).unwrap()).unwrap()
    }

    /// Trust in the old key, with the stored statements.
    fn trusted(&self, store: &TrustStore) -> Trusted {
        Trusted::new(vec![Signer::new("old", self.old.public().clone())], store)
    }

    fn rotate(&self, serial: u64) -> KeyStatement {
        let change = KeyChange::Rotate { successor: self.new.public().clone(), principal: "new".into() };
        KeyStatement { key: self.old.public().clone(), serial, change }
    }

    fn revoke(&self, serial: u64, signing: &SigningKey) -> Envelope {
        let change = KeyChange::Revoke { reason: "it was\nstolen".into() };
        KeyStatement { key: self.old.public().clone(), serial, change }.sign(&[signing]).unwrap()
    }
}

#[test]
fn a_successor_is_trusted_after_both_keys_signed_it() {
    let keys = Keys::new();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    assert!(trusted.signer(keys.new.public(), 0).is_err());
    for signing in [[&keys.old, &keys.old], [&keys.new, &keys.new]] {
        let envelope = keys.rotate(1).sign(&signing).unwrap();
        let wrong = trusted.learn(&[envelope], &mut store);
        assert!(wrong[0].contains("was not signed by"), "{wrong:?}");
    }
    let envelope = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    assert_eq!(trusted.learn(&[envelope], &mut store), [""; 0]);
    assert_eq!(trusted.signer(keys.new.public(), 0).unwrap().principal, "new");
    trusted.signer(keys.old.public(), 0).unwrap();
    store.save().unwrap();
    // It is remembered, even though no file contains it any longer.
    let store = keys.store();
    keys.trusted(&store).signer(keys.new.public(), 0).unwrap();
}

#[test]
fn a_revocation_is_permanent_and_a_successor_may_sign_it() {
    let keys = Keys::new();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    // It is not a successor yet.
    let wrong = trusted.learn(&[keys.revoke(2, &keys.new)], &mut store);
    assert!(wrong[0].contains("was not signed by"), "{wrong:?}");
    let rotation = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    let revocation = keys.revoke(2, &keys.new);
    assert_eq!(trusted.learn(&[rotation.clone(), revocation], &mut store), [""; 0]);
    let error = trusted.signer(keys.old.public(), 0).unwrap_err();
    assert!(error.ends_with("was revoked: it was stolen"), "{error}");
    trusted.signer(keys.new.public(), 0).unwrap();
    store.save().unwrap();

    // A release with only the older statement does not undo it.
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    assert_eq!(trusted.learn(&[rotation], &mut store), [""; 0]);
    assert!(trusted.signer(keys.old.public(), 0).is_err());
    // Neither does a thief's statement with a later number, nor one with a number that was already seen.
    let thief = SigningKey::in_memory("thief").unwrap();
    let change = KeyChange::Rotate { successor: thief.public().clone(), principal: "thief".into() };
    for (serial, why) in [(3, "can have no successor"), (2, "was seen already"), (1, "was seen already")] {
        let statement = KeyStatement { key: keys.old.public().clone(), serial, change: change.clone() };
        let wrong = trusted.learn(&[statement.sign(&[&keys.old, &thief]).unwrap()], &mut store);
        assert!(wrong[0].contains(why), "{wrong:?}");
    }
    assert!(trusted.signer(thief.public(), 0).is_err());
}

#[test]
fn a_statement_about_unknown_keys_changes_nothing() {
    let keys = Keys::new();
    let mut store = keys.store();
    let other = SigningKey::in_memory("stranger").unwrap();
    let mut trusted = Trusted::new(vec![Signer::new("stranger", other.public().clone())], &store);
    let envelope = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    assert_eq!(trusted.learn(&[envelope], &mut store), [""; 0]);
    assert!(trusted.signer(keys.new.public(), 0).is_err());
    store.save().unwrap();
    assert!(!keys.folder.path().join("release-trust.json").exists());
}

#[test]
fn pinned_keys_are_kept_and_a_damaged_store_is_an_error() {
    let keys = Keys::new();
    let mut store = keys.store();
    let line = rave_release::signers::line("old", keys.old.public());
    assert_eq!(store.pin(&format!("# ours\n{line}\n")).unwrap().len(), 1);
    assert_eq!(store.pin(&line).unwrap().len(), 0);
    store.save().unwrap();
    let path = keys.folder.path().join("release-trust.json");
    assert_eq!(keys.store().pinned().unwrap()[0].principal, "old");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let folder = camino::Utf8Path::from_path(keys.folder.path()).unwrap();
    assert!(TrustStore::open(folder).unwrap_err().to_string().contains("is damaged"));
}
