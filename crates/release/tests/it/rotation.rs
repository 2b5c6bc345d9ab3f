//! Rotated keys, and revoked keys.

use std::fs;

use rave_release::dsse::Envelope;
use rave_release::key::SigningKey;
use rave_release::key_statement::{KeyChange, KeyStatement};
use rave_release::signers::{self, Signer};
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
        let wrong = trusted.learn(&[envelope], 0, &mut store);
        assert!(wrong[0].contains("was not signed by"), "{wrong:?}");
    }
    let envelope = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    assert_eq!(trusted.learn(&[envelope], 0, &mut store), [""; 0]);
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
    let wrong = trusted.learn(&[keys.revoke(2, &keys.new)], 0, &mut store);
    assert!(wrong[0].contains("was not signed by"), "{wrong:?}");
    let rotation = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    let revocation = keys.revoke(2, &keys.new);
    assert_eq!(trusted.learn(&[rotation.clone(), revocation], 0, &mut store), [""; 0]);
    let said = trusted.signer(keys.old.public(), 0).unwrap_err();
    assert!(said.ends_with("was revoked: it was stolen"), "{said}");
    trusted.signer(keys.new.public(), 0).unwrap();
    store.save().unwrap();

    // A release with only the older statement does not undo it.
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    assert_eq!(trusted.learn(&[rotation], 0, &mut store), [""; 0]);
    assert!(trusted.signer(keys.old.public(), 0).is_err());
    // Neither does a thief's statement with a later number, nor one with a number that was already seen.
    let thief = SigningKey::in_memory("thief").unwrap();
    let change = KeyChange::Rotate { successor: thief.public().clone(), principal: "thief".into() };
    for (serial, why) in [(3, "can have no successor"), (2, "was seen already"), (1, "was seen already")] {
        let statement = KeyStatement { key: keys.old.public().clone(), serial, change: change.clone() };
        let wrong = trusted.learn(&[statement.sign(&[&keys.old, &thief]).unwrap()], 0, &mut store);
        assert!(wrong[0].contains(why), "{wrong:?}");
    }
    assert!(trusted.signer(thief.public(), 0).is_err());
}

#[test]
fn an_expired_key_names_no_successor() {
    const END: i64 = 1_767_225_600;
    let keys = Keys::new();
    let line = signers::line("old", keys.old.public());
    let line = line.replace("namespaces=\"rave-release\"", "valid-before=\"20260101\"");
    let trusted = || Trusted::new(signers::parse(&line).unwrap(), &keys.store());
    let rotation = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    // Neither statement is refused: another trusted key may have signed a release that contains them.
    let (mut late, mut store) = (trusted(), keys.store());
    assert_eq!(late.learn(&[rotation.clone(), keys.revoke(2, &keys.new)], END, &mut store), [""; 0]);
    assert!(late.signer(keys.new.public(), END).unwrap_err().ends_with("is not trusted"));
    let (mut early, mut store) = (trusted(), keys.store());
    assert_eq!(early.learn(&[rotation], END - 1, &mut store), [""; 0]);
    early.signer(keys.new.public(), END).unwrap();
}

#[test]
fn a_key_has_one_successor() {
    let keys = Keys::new();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    let thief = SigningKey::in_memory("thief").unwrap();
    let change = KeyChange::Rotate { successor: thief.public().clone(), principal: "thief".into() };
    let second = KeyStatement { key: keys.old.public().clone(), serial: 2, change };
    let second = second.sign(&[&keys.old, &thief]).unwrap();
    let first = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    let wrong = trusted.learn(&[first, second], 0, &mut store);
    assert!(wrong.len() == 1 && wrong[0].ends_with("it has another successor already"), "{wrong:?}");
    assert!(trusted.signer(thief.public(), 0).is_err());
    trusted.signer(keys.new.public(), 0).unwrap();
}

#[test]
fn a_thief_who_used_up_the_numbers_does_not_prevent_the_revocation() {
    let keys = Keys::new();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    let last = keys.rotate(u64::MAX).sign(&[&keys.old, &keys.new]).unwrap();
    assert_eq!(trusted.learn(&[last, keys.revoke(2, &keys.old)], 0, &mut store), [""; 0]);
    assert!(trusted.signer(keys.old.public(), 0).is_err());
    store.save().unwrap();
    assert!(keys.trusted(&keys.store()).signer(keys.old.public(), 0).is_err());
    // The highest number stays.
    let wrong = trusted.learn(&[keys.rotate(3).sign(&[&keys.old, &keys.new]).unwrap()], 0, &mut store);
    assert!(wrong[0].ends_with(&format!("{} was seen already", u64::MAX)), "{wrong:?}");
}

#[test]
fn a_statement_about_a_key_of_strangers_changes_nothing() {
    let keys = Keys::new();
    let mut store = keys.store();
    let other = SigningKey::in_memory("stranger").unwrap();
    let mut trusted = Trusted::new(vec![Signer::new("stranger", other.public().clone())], &store);
    let envelope = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    assert_eq!(trusted.learn(&[envelope], 0, &mut store), [""; 0]);
    assert!(trusted.signer(keys.new.public(), 0).is_err());
    store.save().unwrap();
    assert!(!keys.folder.path().join("release-trust.json").exists());
}

#[test]
fn pinned_keys_are_kept_and_a_damaged_store_is_an_error() {
    let keys = Keys::new();
    let mut store = keys.store();
    let line = signers::line("old", keys.old.public());
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
