//! A network namespace with nothing in it, `network_namespaces(7)`: not even its loopback is up. Unix sockets that have a path are
//! not part of it; abstract ones are.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

use crate::error::Error;

/// Moves this process into one. Without root's rights it has a user namespace of its own first, in which it is who it was.
pub(crate) fn empty_network() -> Result<(), Error> {
    if geteuid().is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|e| {
        Error::system("make a network namespace (unprivileged user namespaces may be turned off)", e)
    })?;
    // user_namespaces(7): groups are mapped only where they cannot be dropped any more.
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{user} {user} 1")),
        ("/proc/self/gid_map", format!("{group} {group} 1")),
    ];
    for (file, text) in maps {
        fs::write(file, text).map_err(|e| Error::system("stay the same user in a user namespace", e))?;
    }
    Ok(())
}
