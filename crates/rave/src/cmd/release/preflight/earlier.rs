//! Earlier releases and earlier statements about keys: they are used in the last stages.

use camino::Utf8Path;
use rave_release::key::LockedKey;
use rave_release::manifest::Manifest;
use rave_release::signers::Signer;
use rave_release::trust::{self, TrustStore, Trusted};
use rave_release::{Error, key_statement};
use semver::Version;

use crate::cmd::release::found::{Found, wrong};

/// The statements that the release includes: receivers accept them, and they do not revoke the key that signs.
pub(in crate::cmd::release) fn statements(path: &Utf8Path, key: Option<&Utf8Path>, now: i64) -> Found {
    let remedy = |error: &Error| {
        error.remedy().unwrap_or_else(|| "give the file that `release rotate` and `revoke` wrote".into())
    };
    let read = |path: &Utf8Path| {
        trust::publishable(path)?;
        key_statement::read(path)
    };
    let (_, envelopes) = read(path).map_err(|error| (error.to_string(), remedy(&error)))?;
    // Its own row says what is wrong with the key.
    if let Some(key) = key.and_then(|key| LockedKey::read(key).ok()) {
        let mut store = TrustStore::in_memory();
        let mut trusted = Trusted::new(vec![Signer::new("release", key.public().clone())], &store);
        trusted.learn(&envelopes, now, &mut store);
        if let Err(why) = trusted.signer(key.public(), now) {
            return wrong(why, "sign with its successor");
        }
    }
    Ok(format!("{} statements", envelopes.len()).into())
}

/// The release that the notes compare with, or that a patch is made from.
pub(in crate::cmd::release) fn release(folder: &Utf8Path, version: &Version) -> Found {
    match Manifest::read(folder) {
        Ok(earlier) if earlier.version == *version => {
            wrong(format!("{folder} is version {version} itself"), "name the folder of an earlier release")
        }
        Ok(earlier) => Ok(earlier.version.to_string().into()),
        Err(error) => wrong(error.to_string(), "name the folder of an earlier release"),
    }
}
