//! Reads the programs that start after the barrier, so that each clone has them in memory.

use crate::spawn;
use rave_guest::config::GuestConfig;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The timeout of one program.
const LIMIT: Duration = Duration::from_secs(60);
/// The most bytes that are read: they also use the clones' memory.
const MOST: u64 = 320 * 1024 * 1024;

/// Ignores what cannot be read: it is read when it starts.
pub(super) fn read_programs(config: &GuestConfig) {
    let tools = Path::new(&config.tools).join("node_modules");
    let mut left = MOST;
    for part in ["vibe-kanban", "@musistudio"] {
        read(&tools.join(part), &mut left);
    }
    // They read their libraries, and the loader's cache, as they will later.
    let programs: [&[&str]; 5] = [
        &["node", "--version"],
        &["nginx", "-v"],
        &["ssh-keygen", "-?"],
        &["bash", "-lc", ":"],
        &["sudo", "--version"],
    ];
    for command in programs {
        let _ = spawn::output(command[0], &command[1..], LIMIT);
    }
    for program in ["/usr/sbin/sshd", "/usr/lib/systemd/systemd-logind", "/usr/bin/dbus-daemon"] {
        read(&PathBuf::from(program), &mut left);
    }
}

/// Reads files and folders, without following links.
fn read(path: &Path, left: &mut u64) {
    let Ok(about) = path.symlink_metadata() else { return };
    if about.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| read(&entry.path(), left));
    } else if about.is_file() && about.len() <= *left {
        *left -= about.len();
        let _ = File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    }
}
