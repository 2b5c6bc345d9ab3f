//! `rave-guest ssh-keys`: host keys at the first boot, and the host's public key at every boot.

use crate::error::Error;
use crate::files::{self, failed};
use crate::{setup, spawn};
use rave_guest::config::GuestConfig;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The types of host keys, which the server's settings list too. No RSA: it takes seconds to generate, and every client
/// of the last ten years supports one of these.
const TYPES: [&str; 2] = ["ed25519", "ecdsa"];

/// The server's folder.
pub(crate) const SSH: &str = "/etc/ssh";

/// The credential with public keys in the format of `authorized_keys`, sshd(8).
const CREDENTIAL: &str = "rave.authorized_keys";

pub(crate) fn run(config: &GuestConfig) -> Result<(), Error> {
    // Host keys first: a credential that cannot be stored must not leave the machine without a server.
    make_all(Path::new(SSH))?;
    let Some(keys) = passed_keys() else {
        println!("the host passed no key");
        return Ok(());
    };
    authorize(config, &keys)?;
    println!("the key that the host passed may log in as {}", config.user);
    Ok(())
}

/// Authorizes the owners of these keys, and nobody else.
pub(crate) fn authorize(config: &GuestConfig, keys: &str) -> Result<(), Error> {
    let folder = Path::new("/run/rave");
    files::directory(folder, 0o755, None)?;
    let folder = folder.join("authorized_keys.d");
    files::directory(&folder, 0o755, None)?;
    // Owned by root and outside of the home, so that a broken home cannot lock out the host.
    files::write(&folder.join(&config.user), 0o644, None, keys)
}

/// Generates a new key for a clone of a template, which must not have the template's; returns its public half. The
/// other types are generated when their unit starts.
pub(crate) fn renew() -> Result<String, Error> {
    let folder = Path::new(SSH);
    for kind in TYPES {
        for name in [format!("ssh_host_{kind}_key"), format!("ssh_host_{kind}_key.pub")] {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("remove", path)(error));
                }
                _ => {}
            }
        }
    }
    make(folder, TYPES[0])?;
    Ok(public_keys(folder).remove(0))
}

/// Stores the host's key for `rave-ssh-keys.service`, as if it were a system credential.
pub(crate) fn pass(keys: &str) -> Result<(), Error> {
    let folder = Path::new(setup::CREDENTIALS);
    files::directory(folder, 0o700, None)?;
    files::write_unsynced(&folder.join(CREDENTIAL), 0o600, keys)
}

/// Generates the missing key pairs.
pub(crate) fn make_all(folder: &Path) -> Result<(), Error> {
    let made: Vec<Result<(), Error>> = thread::scope(|scope| {
        let threads: Vec<_> = TYPES.iter().map(|kind| scope.spawn(move || make(folder, kind))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    made.into_iter().collect()
}

/// Generates a key pair unless it exists. The private key is renamed last, so an incomplete pair, as after a power
/// failure, is generated again.
fn make(folder: &Path, kind: &str) -> Result<(), Error> {
    let private = folder.join(format!("ssh_host_{kind}_key"));
    let public = folder.join(format!("ssh_host_{kind}_key.pub"));
    let filled = |path: &Path| fs::metadata(path).is_ok_and(|about| about.len() > 0);
    if filled(&private) && filled(&public) {
        return Ok(());
    }
    let temporary = folder.join(format!(".rave-new-{kind}"));
    let beside_public = folder.join(format!(".rave-new-{kind}.pub"));
    let _ = (fs::remove_file(&temporary), fs::remove_file(&beside_public));
    let name = temporary.display().to_string();
    let args = ["-q", "-t", kind, "-N", "", "-C", "", "-f", &name];
    spawn::output("ssh-keygen", &args, Duration::from_secs(60))?;
    for (from, to) in [(&beside_public, &public), (&temporary, &private)] {
        let synced = fs::File::open(from).and_then(|file| file.sync_all());
        synced.and_then(|()| fs::rename(from, to)).map_err(failed("write", to))?;
    }
    println!("generated {}", private.display());
    Ok(())
}

/// The keys from the credential: in the unit's own folder, or in systemd's for the machine.
fn passed_keys() -> Option<String> {
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let mut folders = own.into_iter().chain([PathBuf::from("/run/credentials/@system")]);
    let text = folders.find_map(|folder| fs::read_to_string(folder.join(CREDENTIAL)).ok())?;
    let mut text = text.trim().to_owned();
    text.push('\n');
    (text.len() > 1).then_some(text)
}

/// The public host keys in `folder`: type and key, without the comment.
pub(crate) fn public_keys(folder: &Path) -> Vec<String> {
    let read = |kind: &&str| {
        let text = fs::read_to_string(folder.join(format!("ssh_host_{kind}_key.pub"))).ok()?;
        let mut fields = text.split_whitespace();
        Some(format!("{} {}", fields.next()?, fields.next()?))
    };
    TYPES.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_created_once_and_incomplete_pairs_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        make_all(scratch.path()).unwrap();
        let first = public_keys(scratch.path());
        assert!(first[0].starts_with("ssh-ed25519 AAAA") && first[1].starts_with("ecdsa-sha2-nistp256 AAAA"));
        make_all(scratch.path()).unwrap();
        assert_eq!(public_keys(scratch.path()), first);

        fs::write(scratch.path().join("ssh_host_ed25519_key"), "").unwrap();
        make_all(scratch.path()).unwrap();
        let second = public_keys(scratch.path());
        assert_ne!(second[0], first[0]);
        assert_eq!(second[1], first[1]);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 4, "nothing is left beside");
    }

    #[test]
    fn a_missing_folder_is_an_error_with_the_command() {
        let error = make_all(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("ssh-keygen -q -t"), "{error}");
    }
}
