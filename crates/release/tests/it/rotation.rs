//! Rotated keys, and revoked keys.

use std::fs;

use rave_release::dsse::Envelope;
use rave_release::key::SigningKey;
use rave_release::key_statement::{KeyChange, KeyStatement};
use rave_release::signers::{self, Signer};
use rave_release::trust::{self, TrustStore, Trusted};

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
        let wrong = trusted.learn(&[envelope], 0, &mut store).wrong;
        assert!(wrong[0].1.contains("was not signed by"), "{wrong:?}");
    }
    let envelope = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    assert!(trusted.learn(&[envelope], 0, &mut store).wrong.is_empty());
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
    let wrong = trusted.learn(&[keys.revoke(2, &keys.new)], 0, &mut store).wrong;
    assert!(wrong[0].1.contains("was not signed by"), "{wrong:?}");
    let rotation = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    let revocation = keys.revoke(2, &keys.new);
    assert!(trusted.learn(&[rotation.clone(), revocation], 0, &mut store).wrong.is_empty());
    let said = trusted.signer(keys.old.public(), 0).unwrap_err();
    assert!(said.ends_with("was revoked: it was stolen"), "{said}");
    trusted.signer(keys.new.public(), 0).unwrap();
    store.save().unwrap();

    // A release with only the older statement does not undo it.
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    assert!(trusted.learn(&[rotation], 0, &mut store).wrong.is_empty());
    assert!(trusted.signer(keys.old.public(), 0).is_err());
    // Neither does a thief's statement with a later number, nor one with a number that was already seen.
    let thief = SigningKey::in_memory("thief").unwrap();
    let change = KeyChange::Rotate { successor: thief.public().clone(), principal: "thief".into() };
    for (serial, why) in [(3, "can have no successor"), (2, "was seen already"), (1, "was seen already")] {
        let statement = KeyStatement { key: keys.old.public().clone(), serial, change: change.clone() };
        let wrong = trusted.learn(&[statement.sign(&[&keys.old, &thief]).unwrap()], 0, &mut store).wrong;
        assert!(wrong[0].1.contains(why), "{wrong:?}");
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
    assert!(late.learn(&[rotation.clone(), keys.revoke(2, &keys.new)], END, &mut store).wrong.is_empty());
    assert!(late.signer(keys.new.public(), END).unwrap_err().ends_with("is not trusted"));
    let (mut early, mut store) = (trusted(), keys.store());
    assert!(early.learn(&[rotation], END - 1, &mut store).wrong.is_empty());
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
    let wrong = trusted.learn(&[first, second], 0, &mut store).wrong;
    assert!(wrong.len() == 1 && wrong[0].1.ends_with("it has another successor already"), "{wrong:?}");
    assert!(trusted.signer(thief.public(), 0).is_err());
    trusted.signer(keys.new.public(), 0).unwrap();
}

#[test]
fn a_thief_who_used_up_the_numbers_does_not_prevent_the_revocation() {
    let keys = Keys::new();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    let last = keys.rotate(u64::MAX).sign(&[&keys.old, &keys.new]).unwrap();
    assert!(trusted.learn(&[last, keys.revoke(2, &keys.old)], 0, &mut store).wrong.is_empty());
    assert!(trusted.signer(keys.old.public(), 0).is_err());
    store.save().unwrap();
    assert!(keys.trusted(&keys.store()).signer(keys.old.public(), 0).is_err());
    // The highest number stays.
    let wrong = trusted.learn(&[keys.rotate(3).sign(&[&keys.old, &keys.new]).unwrap()], 0, &mut store).wrong;
    assert!(wrong[0].1.ends_with(&format!("{} was seen already", u64::MAX)), "{wrong:?}");
}

#[test]
fn a_statement_about_a_key_of_strangers_changes_nothing() {
    let keys = Keys::new();
    let mut store = keys.store();
    let other = SigningKey::in_memory("stranger").unwrap();
    let mut trusted = Trusted::new(vec![Signer::new("stranger", other.public().clone())], &store);
    let envelope = keys.rotate(1).sign(&[&keys.old, &keys.new]).unwrap();
    assert!(trusted.learn(&[envelope], 0, &mut store).wrong.is_empty());
    assert!(trusted.signer(keys.new.public(), 0).is_err());
    store.save().unwrap();
    assert!(!keys.folder.path().join("release-trust.json").exists());
}

/// A rotation of one key to the next, and the revocation of a key by another.
fn to(from: &SigningKey, next: &SigningKey, serial: u64) -> Envelope {
    let change = KeyChange::Rotate { successor: next.public().clone(), principal: "next".into() };
    KeyStatement { key: from.public().clone(), serial, change }.sign(&[from, next]).unwrap()
}

fn end(of: &SigningKey, by: &SigningKey, serial: u64) -> Envelope {
    let change = KeyChange::Revoke { reason: "lost".into() };
    KeyStatement { key: of.public().clone(), serial, change }.sign(&[by]).unwrap()
}

#[test]
fn statements_count_in_any_order_of_arrival() {
    let keys = Keys::new();
    let last = SigningKey::in_memory("last").unwrap();
    let (first, second) = (to(&keys.old, &keys.new, 1), to(&keys.new, &last, 1));
    let by_itself = end(&keys.new, &keys.new, 2);
    let by_last = end(&keys.new, &last, 2);
    for (envelopes, signers) in [
        // A revocation arrives separately, before the rotation that makes its key trusted.
        (vec![by_itself.clone(), first.clone()], [true, false, false]),
        (vec![second.clone(), first.clone()], [true, true, true]),
        (vec![by_last.clone(), second.clone(), first.clone()], [true, false, true]),
        (vec![by_last, first.clone(), second.clone()], [true, false, true]),
    ] {
        let mut store = keys.store();
        let mut trusted = keys.trusted(&store);
        let learned = trusted.learn(&envelopes, 0, &mut store);
        assert!(learned.wrong.is_empty() && learned.ignored.is_empty(), "{learned:?}");
        let may_sign = [&keys.old, &keys.new, &last].map(|key| trusted.signer(key.public(), 0).is_ok());
        assert_eq!(may_sign, signers);
    }

    // A thief of the second key, who names a successor in a release, comes too late.
    let thief = SigningKey::in_memory("thief").unwrap();
    let stolen = [by_itself.clone(), first.clone(), to(&keys.new, &thief, 3)];
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    let wrong = trusted.learn(&stolen, 0, &mut store).wrong;
    assert!(wrong.len() == 1 && wrong[0].1.ends_with("can have no successor"), "{wrong:?}");
    assert!(trusted.signer(thief.public(), 0).is_err());

    // Stored while only the second key was trusted.
    let mut store = keys.store();
    let of_second = || vec![Signer::new("second", keys.new.public().clone())];
    assert!(Trusted::new(of_second(), &store).learn(&[by_itself], 0, &mut store).wrong.is_empty());
    store.save().unwrap();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    let wrong = trusted.learn(&[first, to(&keys.new, &thief, 3)], 0, &mut store).wrong;
    assert!(wrong.len() == 1 && wrong[0].1.ends_with("can have no successor"), "{wrong:?}");
    let why = trusted.signer(keys.new.public(), 0).unwrap_err();
    assert!(why.ends_with("was revoked: lost"), "{why}");
    assert!(trusted.signer(thief.public(), 0).is_err());
}

#[test]
fn repeated_statements_do_not_fill_the_store() {
    let keys = Keys::new();
    let mut store = keys.store();
    let mut trusted = keys.trusted(&store);
    let size = || fs::metadata(keys.folder.path().join("release-trust.json")).unwrap().len();
    let mut learn = |envelope: Envelope| {
        assert!(trusted.learn(&[envelope], 0, &mut store).wrong.is_empty());
        store.save().unwrap();
        size()
    };
    let with_rotation = learn(to(&keys.old, &keys.new, 1));
    assert_eq!(learn(to(&keys.old, &keys.new, 2)), with_rotation);
    let with_both = learn(keys.revoke(3, &keys.old));
    assert_eq!(learn(end(&keys.old, &keys.old, 4)), with_both);
    // The higher number was stored.
    assert!(!trusted.learn(&[to(&keys.old, &keys.new, 2)], 0, &mut store).wrong.is_empty());
}

#[test]
fn statements_that_receivers_refuse_cannot_be_published() {
    let keys = Keys::new();
    let (old, new) = (&keys.old, &keys.new);
    let last = &SigningKey::in_memory("last").unwrap();
    for (envelopes, why) in [
        (vec![to(old, new, 1), to(new, last, 1), end(new, last, 2), end(old, new, 2)], ""),
        (vec![end(old, old, 1), to(old, new, 2)], "can have no successor"),
        (vec![end(old, new, 1), to(old, new, 2)], "was not signed by"),
        (vec![to(old, new, 1), end(old, last, 2)], "was not signed by"),
        (vec![to(old, new, 2), to(old, new, 1)], "was seen already"),
        (vec![to(old, new, 1), to(old, last, 2)], "another successor already"),
    ] {
        let said = trust::replay(&envelopes).err().unwrap_or_default();
        assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{said}, expected {why}");
    }
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
