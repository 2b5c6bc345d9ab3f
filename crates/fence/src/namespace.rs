//! An empty network namespace, `network_namespaces(7)`: not even its loopback interface is up. Unix sockets with a path
//! are not affected; abstract ones are.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

use crate::error::Error;

/// Moves this process into an empty network namespace. Without root's privileges it first enters a user namespace, in
/// which its user and group stay the same.
pub(crate) fn empty_network() -> Result<(), Error> {
    if geteuid().is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|e| {
        Error::system("create a network namespace (unprivileged user namespaces may be disabled)", e)
    })?;
    // user_namespaces(7): groups can only be mapped once they can no longer be dropped.
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
