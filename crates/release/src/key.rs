//! The signing key: Ed25519 in OpenSSH's own file format, encrypted under a passphrase (OpenSSH's PROTOCOL.key).

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use signature::Signer as _;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::error::{Error, IoContext as _};
use crate::folder;
pub use crate::public_key::fingerprint;
use crate::public_key::{self, check_principal};

/// Maximum size of a key's file, bytes.
const LIMIT: u64 = 16 << 10;

/// Minimum length of a new passphrase, characters.
pub const MIN_PASSPHRASE: usize = 12;

/// A passphrase, wiped when it is dropped.
pub type Passphrase = Zeroizing<String>;

/// A private key that can sign.
pub struct SigningKey {
    pub(crate) private: PrivateKey,
}

/// The files of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// The private key, mode 0600.
    pub private: Utf8PathBuf,
    /// `NAME.pub`: the public key in OpenSSH's format.
    pub public: Utf8PathBuf,
    /// `NAME.allowed_signers`: what receivers give to `verify --key` and to `ssh-keygen -Y verify`.
    pub allowed_signers: Utf8PathBuf,
}

impl KeyFiles {
    /// The files beside the private key.
    pub fn next_to(private: &Utf8Path) -> Self {
        Self {
            private: private.to_owned(),
            public: format!("{private}.pub").into(),
            allowed_signers: format!("{private}.allowed_signers").into(),
        }
    }
}

/// Makes a key. Existing files are an error, and are not changed.
pub fn generate(path: &Utf8Path, principal: &str, passphrase: &Passphrase) -> Result<KeyFiles, Error> {
    let refuse = |detail: String, remedy| Err(Error::Key { path: path.to_owned(), detail, remedy });
    if passphrase.chars().count() < MIN_PASSPHRASE {
        return refuse(
            format!("the passphrase has fewer than {MIN_PASSPHRASE} characters"),
            "choose a longer one",
        );
    }
    if let Err(detail) = check_principal(principal) {
        return refuse(detail, "choose another with --principal");
    }
    let files = KeyFiles::next_to(path);
    if let Some(existing) =
        [&files.private, &files.public, &files.allowed_signers].into_iter().find(|file| file.exists())
    {
        return refuse(
            format!("{existing} already exists"),
            "choose another name with --out: no key is ever replaced",
        );
    }
    let failed = |error: ssh_key::Error| Error::Sign { what: path.to_string(), detail: error.to_string() };
    let mut private = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    private.set_comment(principal);
    let public = private.public_key().to_openssh().map_err(failed)?;
    let encrypted = private.encrypt(&mut OsRng, passphrase.as_bytes()).map_err(failed)?;
    let text = encrypted.to_openssh(LineEnding::LF).map_err(failed)?;
    write_new(&files.private, text.as_bytes(), 0o600)?;
    write_new(&files.public, format!("{public}\n").as_bytes(), 0o644)?;
    let signer = public_key::line(principal, private.public_key());
    write_new(&files.allowed_signers, format!("{signer}\n").as_bytes(), 0o644)?;
    Ok(files)
}

fn write_new(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).at("create", path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at("write", path)
}

/// A key that is still encrypted.
pub struct LockedKey {
    path: Utf8PathBuf,
    private: PrivateKey,
}

impl LockedKey {
    /// Reads the file. It is refused if others may read it, or if it is not encrypted.
    pub fn read(path: &Utf8Path) -> Result<Self, Error> {
        let refuse = |detail: String, remedy| Err(Error::Key { path: path.to_owned(), detail, remedy });
        let kind = fs::metadata(path).at("open", path)?;
        // A pipe would block.
        if !kind.is_file() {
            return refuse("it is not a file".into(), "name the private key's file with --key");
        }
        let file = folder::regular_file(path).at("open", path)?;
        let metadata = file.metadata().at("read", path)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return refuse("others may read it".into(), "take their permission away: chmod 600 FILE");
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(LIMIT).read_to_end(&mut text).at("read", path)?;
        let not_ours = "name a key that `cargo xtask release keygen` made";
        let private = match PrivateKey::from_openssh(&*text) {
            Ok(private) => private,
            Err(error) => return refuse(format!("it is not an OpenSSH private key: {error}"), not_ours),
        };
        if private.public_key().algorithm() != Algorithm::Ed25519 {
            return refuse(format!("it is a key of {}", private.public_key().algorithm()), not_ours);
        }
        if !private.is_encrypted() {
            return refuse(
                "it is not encrypted".into(),
                "encrypt it under a passphrase: ssh-keygen -p -f FILE",
            );
        }
        Ok(Self { path: path.to_owned(), private })
    }

    /// Its public half, which needs no passphrase.
    pub fn public(&self) -> &PublicKey {
        self.private.public_key()
    }

    /// Decrypts it.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<SigningKey, Error> {
        let private = self.private.decrypt(passphrase.as_bytes()).map_err(|_| Error::Key {
            path: self.path.clone(),
            detail: "the passphrase does not open it".into(),
            remedy: "give the passphrase that the key was made with",
        })?;
        Ok(SigningKey { private })
    }
}

impl SigningKey {
    /// A key that is not stored in a file.
    pub fn in_memory(principal: &str) -> Result<Self, Error> {
        let failed =
            |error: ssh_key::Error| Error::Sign { what: principal.to_owned(), detail: error.to_string() };
        let mut private = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
        private.set_comment(principal);
        Ok(Self { private })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        self.private.public_key()
    }

    /// The raw Ed25519 signature (RFC 8032), 64 bytes.
    pub(crate) fn sign_raw(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = self.private.try_sign(bytes);
        let signed =
            signed.map_err(|error| Error::Sign { what: "bytes".into(), detail: error.to_string() })?;
        Ok(signed.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", fingerprint(self.public()))
    }
}

/// A passphrase from a file: its first line.
pub fn passphrase_of(path: &Utf8Path) -> Result<Passphrase, Error> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).at("open", path)?;
    file.take(LIMIT).read_to_string(&mut text).at("read", path)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Reads a public key in OpenSSH's format: `NAME.pub`.
pub fn read_public(path: &Utf8Path) -> Result<PublicKey, Error> {
    let text = String::from_utf8(folder::read_named(path, LIMIT)?);
    let text = text.map_err(|error| Error::damaged(path, error))?;
    let key = PublicKey::from_openssh(text.trim()).map_err(|error| Error::damaged(path, error))?;
    match key.algorithm() {
        Algorithm::Ed25519 => Ok(key),
        other => Err(Error::damaged(path, format!("it is a key of {other}, not ssh-ed25519"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Passphrase {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_key_is_encrypted_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("key");
        let error = generate(&path, "me", &secret("short")).unwrap_err().to_string();
        assert!(error.ends_with("fewer than 12 characters"), "{error}");
        let files = generate(&path, "me", &secret("correct horse battery")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        let locked = LockedKey::read(&path).unwrap();
        assert!(locked.unlock(&secret("another passphrase")).is_err());
        let key = locked.unlock(&secret("correct horse battery")).unwrap();
        assert_eq!(key.public().key_data(), read_public(&files.public).unwrap().key_data());
        assert!(generate(&path, "me", &secret("correct horse battery")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_readable_or_unencrypted_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("key");
        let open = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).unwrap();
        write_new(&path, open.to_openssh(LineEnding::LF).unwrap().as_bytes(), 0o644).unwrap();
        let refusal = |path: &Utf8Path| LockedKey::read(path).err().unwrap().to_string();
        assert!(refusal(&path).ends_with("others may read it"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(refusal(&path).ends_with("it is not encrypted"));
        fs::write(&path, "no key").unwrap();
        assert!(refusal(&path).contains("not an OpenSSH private key"));
    }
}
