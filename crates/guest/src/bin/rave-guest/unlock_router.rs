//! `rave-guest unlock-router`: Claude Code Router refuses to start, with success, if the process in its PID file
//! exists, which after a power failure can be any process with that number. It also refuses if it cannot write that
//! file, so the file is kept in memory: a full disk does not prevent the router from starting.

use crate::error::Error;
use crate::files::failed;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub(crate) fn run() -> Result<(), Error> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let lock = home.join(".claude-code-router/.claude-code-router.pid");
    unlock(&lock, Path::new("/proc"))?;
    if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") {
        keep_in_memory(&lock, &Path::new(&folder).join("pid"));
    }
    Ok(())
}

/// Makes the PID file a link into the unit's runtime folder, which systemd removes with the unit. If that fails, the
/// router writes the file itself.
fn keep_in_memory(lock: &Path, file: &Path) {
    let is_free = fs::symlink_metadata(lock).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if is_free && let Err(error) = symlink(file, lock) {
        println!("{} is not a link to {}: {error}", lock.display(), file.display());
    }
}

fn unlock(lock: &Path, proc: &Path) -> Result<(), Error> {
    let text = match fs::read_to_string(lock) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", lock)(error)),
    };
    let command = fs::read(proc.join(text.trim()).join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command);
    if command.contains("claude-code-router") || command.contains("ccr") {
        println!("process {} is a running router; left alone", text.trim());
        return Ok(());
    }
    println!("removing {}, which names a process that is not a router", lock.display());
    fs::remove_file(lock).map_err(failed("remove", lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_in_memory_unless_a_file_exists() {
        let scratch = tempfile::tempdir().unwrap();
        let (lock, file) = (scratch.path().join("pid"), scratch.path().join("in-memory"));
        keep_in_memory(&lock, &file);
        fs::write(&lock, "412").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "412");
        fs::remove_file(&file).unwrap();
        unlock(&lock, scratch.path()).unwrap();
        keep_in_memory(&lock, &file);
        assert!(fs::symlink_metadata(&lock).unwrap().is_symlink(), "what leads nowhere stays");
        fs::remove_file(&lock).unwrap();
        fs::write(&lock, "413").unwrap();
        keep_in_memory(&lock, &file);
        assert!(!fs::symlink_metadata(&lock).unwrap().is_symlink());
    }

    #[test]
    fn only_a_stale_lock_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let lock = scratch.path().join("pid");
        unlock(&lock, scratch.path()).unwrap();
        for (command, stays) in
            [("node\0/x/claude-code-router/cli.js\0start", true), ("/usr/sbin/sshd\0-D", false)]
        {
            fs::create_dir_all(scratch.path().join("412")).unwrap();
            fs::write(scratch.path().join("412/cmdline"), command).unwrap();
            fs::write(&lock, "412\n").unwrap();
            unlock(&lock, scratch.path()).unwrap();
            assert_eq!(lock.exists(), stays, "{command}");
        }
        fs::write(&lock, "not a number").unwrap();
        unlock(&lock, scratch.path()).unwrap();
        assert!(!lock.exists());
    }
}
