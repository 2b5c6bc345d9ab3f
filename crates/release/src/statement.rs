//! in-toto statements (version 1 of the framework's statement) of a release: where it comes from (SLSA provenance,
//! version 1), and what was booted.

use std::collections::BTreeMap;

use rave_image::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The statement's own type.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The predicate that says where artifacts come from.
pub const SLSA: &str = "https://slsa.dev/provenance/v1";
/// The predicate that says what was booted. `.invalid` (RFC 2606) until the project has a domain of its own.
pub const BOOT: &str = "https://rave.invalid/attestation/boot/v1";
/// How a release is built.
pub const BUILD_TYPE: &str = "https://rave.invalid/build/release/v1";
/// Who builds it where nobody else says so.
pub const BUILDER: &str = "https://rave.invalid/builder/local";

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What is said: [`SLSA`] or [`BOOT`].
    pub predicate_type: String,
    /// It.
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// A file of the release.
    pub name: String,
    /// Its digest, by algorithm: `sha256`.
    pub digest: BTreeMap<String, Digest>,
}

impl Subject {
    /// A file with its SHA-256.
    pub fn new(name: impl Into<String>, sha256: Digest) -> Self {
        Self { name: name.into(), digest: BTreeMap::from([("sha256".into(), sha256)]) }
    }

    /// Its SHA-256.
    pub fn sha256(&self) -> Option<Digest> {
        self.digest.get("sha256").copied()
    }
}

impl Statement {
    /// A statement about `subject`.
    pub fn new(predicate_type: &str, subject: Vec<Subject>, predicate: Value) -> Self {
        Self { kind: STATEMENT.into(), subject, predicate_type: predicate_type.into(), predicate }
    }

    /// The bytes that are signed.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    /// Reads the payload of an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self = crate::strict_json::parse(bytes, crate::dsse::LIMIT)?;
        if statement.kind != STATEMENT {
            return Err(format!("its type is {:?}, not {STATEMENT}", statement.kind));
        }
        Ok(statement)
    }

    /// When the build ended, seconds since 1970, where the predicate is provenance and says so.
    pub fn finished(&self) -> Option<i64> {
        let text = self.predicate.pointer("/runDetails/metadata/finishedOn")?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp())
    }
}

/// A time as statements have it: RFC 3339 in UTC, to the second.
pub fn rfc3339(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
