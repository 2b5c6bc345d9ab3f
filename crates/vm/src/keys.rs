//! An SSH key pair for one machine, and the pinned keys of its server.

use std::fs;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

use crate::Error;
use crate::files::write_atomically;
use crate::machine::Credential;

/// The credential from which the guest's `rave-ssh-keys.service` takes the authorized keys of its user.
pub const AUTHORIZED_KEYS: &str = "rave.authorized_keys";

/// How long ssh-keygen may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A key pair for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key, mode 0600.
    pub private: Utf8PathBuf,
    /// The public key as one line of `authorized_keys`, sshd(8).
    pub public: String,
}

impl KeyPair {
    /// Generates an Ed25519 pair in `folder`, replacing an earlier one.
    pub fn generate(folder: &Utf8Path, comment: &str) -> Result<Self, Error> {
        let private = folder.join("ssh-key");
        let public = folder.join("ssh-key.pub");
        for path in [&private, &public] {
            // ssh-keygen asks before it overwrites.
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path, error));
                }
                _ => {}
            }
        }
        Cmd::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", private.as_str()])
            .timeout(DEADLINE)
            .output()
            .map_err(Error::process("making the machine's SSH key"))?;
        let line = fs::read_to_string(&public).map_err(|e| Error::io("read", &public, e))?;
        Ok(Self { private, public: line.trim().to_owned() })
    }

    /// The pair that [`KeyPair::generate`] made in `folder`.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let public = folder.join("ssh-key.pub");
        let line = fs::read_to_string(&public).map_err(|e| Error::io("read", &public, e))?;
        Ok(Self { private: folder.join("ssh-key"), public: line.trim().to_owned() })
    }

    /// The credential that authorizes this key.
    pub fn credential(&self) -> Credential {
        Credential { name: AUTHORIZED_KEYS.to_owned(), value: format!("{}\n", self.public).into_bytes() }
    }
}

/// Writes a `known_hosts` file with one server, by `alias`, and exactly these keys (`ssh-ed25519 AAAA...`).
pub(crate) fn write_known_hosts(path: &Utf8Path, alias: &str, host_keys: &[String]) -> Result<(), Error> {
    write_atomically(path, known_hosts(alias, host_keys).as_bytes(), 0o600)
}

/// Lines of `known_hosts`, sshd(8): name, key type, key. Anything the guest sends beyond these two words is dropped.
fn known_hosts(alias: &str, host_keys: &[String]) -> String {
    let line = |key: &String| {
        let mut fields = key.split_whitespace();
        Some(format!("{alias} {} {}\n", fields.next()?, fields.next()?))
    };
    host_keys.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_pair_is_private_and_can_be_recreated() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let first = KeyPair::generate(folder, "rave test").unwrap();
        let second = KeyPair::generate(folder, "rave test").unwrap();
        assert_ne!(first.public, second.public);
        assert_eq!(KeyPair::read(folder).unwrap(), second);
        assert!(second.public.starts_with("ssh-ed25519 ") && second.public.ends_with(" rave test"));
        let mode = fs::metadata(&second.private).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(second.credential().value, format!("{}\n", second.public).into_bytes());
    }

    #[test]
    fn the_guest_cannot_add_options_or_lines_to_known_hosts() {
        let keys =
            ["ssh-ed25519 AAAA root@rave".to_owned(), "short".to_owned(), "a b\nevil ssh-rsa X".to_owned()];
        assert_eq!(known_hosts("rave-1", &keys), "rave-1 ssh-ed25519 AAAA\nrave-1 a b\n");
    }
}
