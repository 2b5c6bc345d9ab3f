//! Rotation and revocation: signed statements about a key, with increasing serial numbers.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use ssh_key::{Algorithm, PublicKey};

use crate::dsse::Envelope;
use crate::error::Error;
use crate::folder;
use crate::key::SigningKey;
use crate::public_key::fingerprint;
use crate::strict_json;

/// The payload type of such a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.rave.key-statement+json";

/// The file of a release with the statements so far, one envelope per line.
pub const FILE: &str = "keys.jsonl";

/// Maximum size of that file, bytes.
pub const LIMIT: u64 = 256 << 10;

/// The schema version of a statement.
const SCHEMA: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: u32,
    serial: u64,
    key: String,
    action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Rotate,
    Revoke,
}

/// The content of a statement about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Another key may sign too.
    Rotate {
        /// The successor.
        successor: PublicKey,
        /// Its signer's name.
        principal: String,
    },
    /// Nothing that it signed may be trusted.
    Revoke {
        /// Why.
        reason: String,
    },
}

/// A statement about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatement {
    /// The key.
    pub key: PublicKey,
    /// Its number among the statements about this key: later ones are larger.
    pub serial: u64,
    /// The content.
    pub change: KeyChange,
}

impl KeyStatement {
    /// Signs it with the old key, and also with a successor to prove its possession.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<Envelope, Error> {
        let text = |key: &PublicKey| {
            let bare = PublicKey::from(key.key_data().clone());
            bare.to_openssh().map(|text| text.trim_end().to_owned()).unwrap_or_default()
        };
        let (action, successor, principal, reason) = match &self.change {
            KeyChange::Rotate { successor, principal } => {
                (Action::Rotate, Some(text(successor)), Some(principal.clone()), None)
            }
            KeyChange::Revoke { reason } => (Action::Revoke, None, None, Some(reason.clone())),
        };
        let key = text(&self.key);
        let written =
            Written { schema: SCHEMA, serial: self.serial, key, action, successor, principal, reason };
        let payload = serde_json::to_vec(&written)
            .map_err(|error| Error::Sign { what: "the statement".into(), detail: error.to_string() })?;
        Envelope::sign(PAYLOAD_TYPE, payload, keys)
    }

    /// Parses the payload of an envelope, whose signatures are not verified here.
    pub fn of(envelope: &Envelope) -> Result<Self, String> {
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(format!("{:?} is not a statement about a key", envelope.payload_type));
        }
        let written: Written = strict_json::parse(&envelope.payload, LIMIT)?;
        if written.schema != SCHEMA {
            return Err(format!("its schema is {}, this version reads {SCHEMA}", written.schema));
        }
        let change = match (written.action, written.successor, written.principal) {
            (Action::Rotate, Some(successor), Some(principal)) => {
                crate::public_key::check_principal(&principal)?;
                KeyChange::Rotate { successor: ed25519(&successor)?, principal }
            }
            (Action::Revoke, None, None) => KeyChange::Revoke { reason: written.reason.unwrap_or_default() },
            _ => return Err("a rotation names its successor and its name, and a revocation none".into()),
        };
        Ok(Self { key: ed25519(&written.key)?, serial: written.serial, change })
    }

    /// Fails unless all required signatures are valid. `chain` are the successors of the key: any of them may revoke
    /// it, because the key itself may be lost.
    pub fn check(&self, envelope: &Envelope, chain: &[PublicKey]) -> Result<(), String> {
        match &self.change {
            KeyChange::Rotate { successor, .. } => {
                envelope.check(&self.key)?;
                envelope.check(successor)
            }
            KeyChange::Revoke { .. } => {
                let first = envelope.check(&self.key);
                first.or_else(|why| chain.iter().find_map(|key| envelope.check(key).ok()).ok_or(why))
            }
        }
    }

    /// The fingerprint of the key.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key)
    }
}

fn ed25519(text: &str) -> Result<PublicKey, String> {
    let key = PublicKey::from_openssh(text).map_err(|error| format!("a key: {error}"))?;
    match key.algorithm() {
        Algorithm::Ed25519 => Ok(key),
        other => Err(format!("a key of {other}: only ssh-ed25519 is taken")),
    }
}

/// The bytes of a file that a user named, with its envelopes.
pub fn read(path: &Utf8Path) -> Result<(Vec<u8>, Vec<Envelope>), Error> {
    let bytes = folder::read_named(path, LIMIT)?;
    let envelopes = parse_file(&bytes).map_err(|why| Error::damaged(path, why))?;
    Ok((bytes, envelopes))
}

/// Reads the envelopes of a file, one per line.
pub fn parse_file(bytes: &[u8]) -> Result<Vec<Envelope>, String> {
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| Envelope::parse(line).map_err(|why| format!("line {}: {why}", number + 1)))
        .collect()
}
