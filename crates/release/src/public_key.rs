//! Names of public keys and signers, and the purpose of their signatures.

use ssh_key::{HashAlg, PublicKey};

/// The purpose of release signatures: signatures for other purposes are refused.
pub const NAMESPACE: &str = "rave-release";

/// `SHA256:...`, as printed by `ssh-keygen -l`.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The line for `key`, limited to releases.
pub fn line(principal: &str, key: &PublicKey) -> String {
    let bare = PublicKey::from(key.key_data().clone());
    let text = bare.to_openssh().unwrap_or_default();
    format!("{principal} namespaces=\"{NAMESPACE}\" {}", text.trim_end())
}

/// Refuses a name that would need quoting in an `allowed_signers` file.
pub(crate) fn check_principal(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
    if !name.is_empty() && name.len() <= 100 && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!("{name:?} is not a name of a signer: letters, digits and @._+- are"))
    }
}
