//! What a public key and its signer are called, and what its signatures are for.

use ssh_key::{HashAlg, PublicKey};

/// What signatures of releases are for: one made for another purpose is not taken.
pub const NAMESPACE: &str = "rave-release";

/// `SHA256:...`, as `ssh-keygen -l` shows it.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The line for `key`: for releases alone.
pub fn line(principal: &str, key: &PublicKey) -> String {
    let bare = PublicKey::from(key.key_data().clone());
    let text = bare.to_openssh().unwrap_or_default();
    format!("{principal} namespaces=\"{NAMESPACE}\" {}", text.trim_end())
}

/// Refuses a name that an `allowed_signers` would not take as it is.
pub(crate) fn check_principal(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
    if !name.is_empty() && name.len() <= 100 && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!("{name:?} is not a name of a signer: letters, digits and @._+- are"))
    }
}
