//! Signed statements: the Dead Simple Signing Envelope, version 1 of its protocol, with a raw Ed25519 signature over the
//! pre-authentication encoding (PAE).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use signature::Verifier as _;
use ssh_key::{Algorithm, PublicKey};

use crate::error::Error;
use crate::key::SigningKey;
use crate::public_key::fingerprint;
use crate::strict_json;

/// The payload type of an in-toto statement.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Maximum size of an envelope, bytes.
pub const LIMIT: u64 = 8 << 20;

/// Maximum number of signatures of an envelope.
const MAX_SIGNATURES: usize = 4;

/// The JSON of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// A parsed envelope. Its signatures are not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The type of the payload.
    pub payload_type: String,
    /// The signed bytes.
    pub payload: Vec<u8>,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Envelope {
    /// Signs a payload with each of `keys`.
    pub fn sign(payload_type: &str, payload: Vec<u8>, keys: &[&SigningKey]) -> Result<Self, Error> {
        let encoded = pae(payload_type, &payload);
        let signatures = keys
            .iter()
            .map(|key| Ok((fingerprint(key.public()), key.sign_raw(&encoded)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { payload_type: payload_type.to_owned(), payload, signatures })
    }

    /// One line of JSON.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn to_json(&self) -> String {
        let signatures = self.signatures.iter().map(|(keyid, signature)| WrittenSignature {
            keyid: keyid.clone(),
            sig: STANDARD.encode(signature),
        });
        let written = Written {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: signatures.collect(),
        };
        serde_json::to_string(&written).expect("plain data")
    }

    /// Parses an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let written: Written = strict_json::parse(bytes, LIMIT)?;
        if written.signatures.is_empty() || written.signatures.len() > MAX_SIGNATURES {
            return Err(format!("it has {} signatures", written.signatures.len()));
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|error| format!("not Base64: {error}"));
        let signatures = written
            .signatures
            .iter()
            .map(|one| Ok((one.keyid.clone(), decode(&one.sig)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self { payload_type: written.payload_type, payload: decode(&written.payload)?, signatures })
    }

    /// Fails unless `key` signed it. The key id is only a hint, but a wrong one is refused: another reader could follow
    /// it.
    pub fn check(&self, key: &PublicKey) -> Result<(), String> {
        let id = fingerprint(key);
        let encoded = pae(&self.payload_type, &self.payload);
        let holds = |bytes: &[u8]| {
            ssh_key::Signature::new(Algorithm::Ed25519, bytes)
                .is_ok_and(|signature| key.key_data().verify(&encoded, &signature).is_ok())
        };
        match self.signatures.iter().find(|(_, signature)| holds(signature)) {
            Some((keyid, _)) if *keyid == id => Ok(()),
            Some((keyid, _)) => Err(format!("it names the key {keyid:?}, but was signed by {id}")),
            None if self.signatures.iter().any(|(keyid, _)| *keyid == id) => {
                Err(format!("it names the key {id}, whose signature it does not have"))
            }
            None => Err(format!("it was not signed by {id}")),
        }
    }
}

/// `DSSEv1 LENGTH TYPE LENGTH PAYLOAD` (the protocol's section "Signature Definition").
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_matches_the_protocols_example() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_signature_is_valid_only_for_its_payload_type_and_key() {
        let [key, other] = ["a", "b"].map(|name| SigningKey::in_memory(name).unwrap());
        let envelope = Envelope::sign(IN_TOTO, b"{}".to_vec(), &[&key]).unwrap();
        let read = Envelope::parse(envelope.to_json().as_bytes()).unwrap();
        assert_eq!(read, envelope);
        read.check(key.public()).unwrap();
        assert!(read.check(other.public()).unwrap_err().starts_with("it was not signed by SHA256:"));
        let changed = [
            Envelope { payload: b"{ }".to_vec(), ..read.clone() },
            Envelope { payload_type: "text/plain".into(), ..read.clone() },
        ];
        for envelope in changed {
            assert!(envelope.check(key.public()).is_err());
        }
    }

    #[test]
    fn mismatched_key_and_key_id_are_refused() {
        let [key, other] = ["a", "b"].map(|name| SigningKey::in_memory(name).unwrap());
        let mut envelope = Envelope::sign(IN_TOTO, b"{}".to_vec(), &[&other]).unwrap();
        envelope.signatures[0].0 = fingerprint(key.public());
        assert!(envelope.check(key.public()).unwrap_err().contains("whose signature it does not have"));
        let mut envelope = Envelope::sign(IN_TOTO, b"{}".to_vec(), &[&key]).unwrap();
        envelope.signatures[0].0 = fingerprint(other.public());
        assert!(envelope.check(key.public()).unwrap_err().contains("but was signed by"));
    }
}
