//! A detached signature in OpenSSH's format (PROTOCOL.sshsig): `ssh-keygen -Y verify -n rave-release`.

use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, SshSig};

use crate::error::Error;
use crate::key::SigningKey;
pub use crate::public_key::NAMESPACE;

/// Maximum size of a signature's file, bytes.
pub const LIMIT: u64 = 16 << 10;

/// Signs `message`; returns the signature's file.
pub fn sign(key: &SigningKey, message: &[u8]) -> Result<String, Error> {
    let failed =
        |error: ssh_key::Error| Error::Sign { what: "the checksums".into(), detail: error.to_string() };
    let signature = key.private.sign(NAMESPACE, HashAlg::Sha512, message).map_err(failed)?;
    signature.to_pem(LineEnding::LF).map_err(failed)
}

/// A parsed Ed25519 signature for [`NAMESPACE`]. It is not verified yet.
#[derive(Debug, Clone)]
pub struct Signature {
    signature: SshSig,
    /// The key that supposedly made it.
    pub claimed: PublicKey,
}

impl Signature {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > LIMIT {
            return Err(format!("it has more than {LIMIT} bytes"));
        }
        let signature =
            SshSig::from_pem(bytes).map_err(|error| format!("it is not an OpenSSH signature: {error}"))?;
        // The parser accepts inconsistent lengths; here a signature has exactly one form.
        let written = signature.to_pem(LineEnding::LF).map_err(|error| error.to_string())?;
        let letters = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
        };
        if letters(written.as_bytes()) != letters(bytes) {
            return Err("it is not an OpenSSH signature: its encoding is not canonical".into());
        }
        if signature.namespace() != NAMESPACE {
            let namespace = signature.namespace();
            return Err(format!("it was made for {namespace:?}, not for {NAMESPACE:?}"));
        }
        if signature.algorithm() != Algorithm::Ed25519 {
            return Err(format!("it is of {}, not ssh-ed25519", signature.algorithm()));
        }
        let claimed = PublicKey::from(signature.public_key().clone());
        Ok(Self { signature, claimed })
    }

    /// Whether it is a signature of `message` by `key`.
    pub fn is_by(&self, key: &PublicKey, message: &[u8]) -> bool {
        key.verify(NAMESPACE, message, &self.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_valid_only_for_key_message_and_purpose_together() {
        let [key, other] = ["a", "b"].map(|name| SigningKey::in_memory(name).unwrap());
        let text = sign(&key, b"message").unwrap();
        let signature = Signature::parse(text.as_bytes()).unwrap();
        assert!(signature.is_by(key.public(), b"message"));
        assert!(!signature.is_by(key.public(), b"messagf"));
        assert!(!signature.is_by(other.public(), b"message"));
        let foreign = key.private.sign("git", HashAlg::Sha512, b"message").unwrap();
        let foreign = foreign.to_pem(LineEnding::LF).unwrap();
        let error = Signature::parse(foreign.as_bytes()).unwrap_err();
        assert_eq!(error, r#"it was made for "git", not for "rave-release""#);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_refused() {
        let key = SigningKey::in_memory("a").unwrap();
        let text = sign(&key, b"message").unwrap().into_bytes();
        let holds = |bytes: &[u8]| {
            Signature::parse(bytes).is_ok_and(|signature| signature.is_by(key.public(), b"message"))
        };
        assert!(holds(&text));
        for length in 0..text.len() - 1 {
            assert!(!holds(&text[..length]), "cut to {length} bytes");
        }
        for place in 0..text.len() - 1 {
            let mut other = text.clone();
            other[place] ^= 1;
            assert!(!holds(&other), "byte {place}: {:?}", String::from_utf8_lossy(&other));
        }
    }
}
