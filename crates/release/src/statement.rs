//! in-toto statements (version 1 of the framework's statement) of a release: its origin (SLSA provenance, version 1),
//! and its boots.

use std::collections::BTreeMap;

use rave_image::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The statement's own type.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The predicate about the origin of artifacts.
pub const SLSA: &str = "https://slsa.dev/provenance/v1";
/// The predicate about boots. `.invalid` (RFC 2606) until the project has its own domain.
pub const BOOT: &str = "https://rave.invalid/attestation/boot/v1";
/// The build type of a release.
pub const BUILD_TYPE: &str = "https://rave.invalid/build/release/v1";
/// The default builder.
pub const BUILDER: &str = "https://rave.invalid/builder/local";

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// Its subjects.
    pub subject: Vec<Subject>,
    /// The type of the predicate: [`SLSA`] or [`BOOT`].
    pub predicate_type: String,
    /// The predicate.
    pub predicate: Value,
}

/// The subject of a statement.
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

    /// Parses the payload of an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self = crate::strict_json::parse(bytes, crate::dsse::LIMIT)?;
        if statement.kind != STATEMENT {
            return Err(format!("its type is {:?}, not {STATEMENT}", statement.kind));
        }
        Ok(statement)
    }

    /// The end of the build, seconds since 1970, if the predicate is provenance and contains it.
    pub fn finished(&self) -> Option<i64> {
        let text = self.predicate.pointer("/runDetails/metadata/finishedOn")?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp())
    }
}

/// A time in a statement's notation: RFC 3339 in UTC, to the second.
pub fn rfc3339(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
