//! The VNC server's password, which is generated at the first boot.

use crate::error::Error;
use crate::files::{self, Ids};
use crate::spawn;
use crate::system::random;
use std::path::Path;
use std::time::Duration;

/// The password's characters, without any that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// VNC authentication uses eight characters at most (RFC 6143, section 7.2.2).
const LENGTH: usize = 8;

/// Converts the password to the server's format: vncpasswd(1), `-f`. Like every file, it is written beside its place
/// and renamed.
const OBFUSCATE: &str = "umask 077; vncpasswd -f < \"$1\" > \"$2.rave-new\" && test -s \"$2.rave-new\" && \
                         chown \"$3\" \"$2.rave-new\" && mv \"$2.rave-new\" \"$2\"";

/// Creates the password, and the file that the server reads, if either is missing. A changed password takes effect once
/// the latter is removed.
pub(super) fn configure(home: &Path, ids: Ids) -> Result<(), Error> {
    let folder = home.join(".config/rave");
    files::directory(&folder, 0o700, Some(ids))?;
    let plain = folder.join("vnc-password");
    if plain.symlink_metadata().is_err() {
        files::write(&plain, 0o600, Some(ids), format!("{}\n", password()?))?;
        println!("created {} with a new password", plain.display());
    }
    let obfuscated = folder.join("vnc-password.obfuscated");
    if obfuscated.symlink_metadata().is_err() {
        let owner = format!("{}:{}", ids.user, ids.group);
        let paths = [&plain, &obfuscated].map(|path| path.to_string_lossy().into_owned());
        let args = ["-c", OBFUSCATE, "sh", &paths[0], &paths[1], &owner];
        spawn::output("sh", &args, Duration::from_secs(30))?;
    }
    Ok(())
}

fn password() -> Result<String, Error> {
    let character = |byte: u8| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]);
    Ok(random::<LENGTH>()?.map(character).iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_have_full_length_and_differ() {
        let made = [password().unwrap(), password().unwrap()];
        assert!(made.iter().all(|password| password.len() == LENGTH && password.is_ascii()));
        assert_ne!(made[0], made[1]);
    }
}
