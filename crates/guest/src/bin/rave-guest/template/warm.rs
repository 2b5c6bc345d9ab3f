//! Reads what starts after the barrier, so that each clone finds it in memory.

use crate::spawn;
use rave_guest::config::GuestConfig;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one of them may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How much is read at most, bytes: it is the clones' memory too.
const MOST: u64 = 320 * 1024 * 1024;

/// Whatever cannot be read is read when it is started.
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
    for words in programs {
        let _ = spawn::output(words[0], &words[1..], LIMIT);
    }
    for program in ["/usr/sbin/sshd", "/usr/lib/systemd/systemd-logind", "/usr/bin/dbus-daemon"] {
        read(&PathBuf::from(program), &mut left);
    }
}

/// Files and folders, without those that links lead to.
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
