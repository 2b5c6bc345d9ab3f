//! The host name, in the kernel and in the files for the next boot.

use crate::error::Error;
use crate::files::{self, below, failed, parents};
use std::fs;
use std::path::Path;

/// The longest label of a host name (RFC 1035, 2.3.4).
const LONGEST: usize = 63;

/// The last name that the host gave. A user may have chosen another one since, which stays.
const GIVEN: &str = "/var/lib/rave/host-name";

/// Takes the name that the host gives at boot, unless that name was taken before.
pub(crate) fn take(root: &Path, name: &str) -> Result<(), Error> {
    if is_given(root, name) { Ok(()) } else { renew(root, name) }
}

fn is_given(root: &Path, name: &str) -> bool {
    fs::read_to_string(below(root, GIVEN)).is_ok_and(|given| given.trim_end() == name)
}

fn note(root: &Path, name: &str) -> Result<(), Error> {
    let given = below(root, GIVEN);
    parents(&given)?;
    files::write_unsynced(&given, 0o644, format!("{name}\n"))
}

/// Changes it in the kernel, and below `root`.
pub(crate) fn renew(root: &Path, name: &str) -> Result<(), Error> {
    check(name)?;
    let before = crate::system::host_name();
    rustix::system::sethostname(name.as_bytes())
        .map_err(|error| failed("set", "the host name")(error.into()))?;
    write_files(root, &before, name)?;
    note(root, name)
}

fn check(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = !name.is_empty() && name.len() <= LONGEST && name.bytes().all(fits);
    if is_name {
        return Ok(());
    }
    Err(Error::Refused {
        why: "the host sent no valid host name".to_owned(),
        remedy: format!("a name has 1 to {LONGEST} lower-case letters, digits and hyphens"),
    })
}

/// Only changes regular files: on NixOS they are links into the store, and resolved uses the kernel's name
/// (nss-myhostname(8)).
fn write_files(root: &Path, before: &str, name: &str) -> Result<(), Error> {
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|about| about.is_file());
    let file = root.join("etc/hostname");
    if is_file(&file) {
        files::write_unsynced(&file, 0o644, format!("{name}\n"))?;
    }
    let file = root.join("etc/hosts");
    if is_file(&file) {
        files::write_unsynced(&file, 0o644, rename(&files::read(&file)?, before, name))?;
    }
    Ok(())
}

/// hosts(5) with `before` replaced by another name.
fn rename(hosts: &str, before: &str, name: &str) -> String {
    let word = |word: &str| if word == before { name.to_owned() } else { word.to_owned() };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    hosts.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_replaces_the_old_one_and_invalid_names_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let etc = scratch.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n127.0.1.1 rave\n::1 rave-x\n").unwrap();
        std::os::unix::fs::symlink("/nowhere", etc.join("hostname")).unwrap();
        write_files(scratch.path(), "rave", "demo").unwrap();
        let hosts = fs::read_to_string(etc.join("hosts")).unwrap();
        assert_eq!(hosts, "127.0.0.1 localhost\n127.0.1.1 demo\n::1 rave-x\n");
        assert!(etc.join("hostname").is_symlink(), "a link stays");
        for bad in ["", "a b", "a.b", "A", "a\n", &"a".repeat(64)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("my-project").is_ok());
    }

    #[test]
    fn a_name_that_was_taken_is_not_taken_again() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(!is_given(scratch.path(), "demo"));
        note(scratch.path(), "demo").unwrap();
        assert!(is_given(scratch.path(), "demo") && !is_given(scratch.path(), "other"));
        // The name of this machine is not changed: that needs rights that the test may have.
        take(scratch.path(), "demo").unwrap();
    }
}
