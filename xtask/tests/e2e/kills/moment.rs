//! A moment during a command, recognised by its effects on files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How often files are polled.
const POLL_INTERVAL: Duration = Duration::from_micros(500);

/// When to kill. Paths are relative to the sandboxes' folder; `*` at the end of a name matches any suffix.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// A file with this name appeared or was replaced since the command started.
    Created(&'static str),
    /// A file with this name existed since the command started, and was removed.
    Removed(&'static str),
    /// This many milliseconds after the command started.
    After(u64),
}

/// The files that existed when a command started.
pub(super) struct Before {
    root: PathBuf,
    files: BTreeMap<PathBuf, (u64, i64, i64)>,
}

impl Before {
    pub(super) fn new(root: &Path, moment: Moment) -> Self {
        let files = match moment {
            Moment::Created(name) | Moment::Removed(name) => found(root, name).into_iter().collect(),
            Moment::After(_) => BTreeMap::new(),
        };
        Self { root: root.to_owned(), files }
    }

    /// Waits for the moment, or until the command has ended; returns whether the moment came.
    pub(super) fn wait(&self, moment: Moment, mut has_ended: impl FnMut() -> bool) -> bool {
        let began = Instant::now();
        let mut existed = !self.files.is_empty();
        loop {
            let is_reached = match moment {
                Moment::Created(name) => {
                    found(&self.root, name).iter().any(|(path, is)| self.files.get(path) != Some(is))
                }
                Moment::Removed(name) => {
                    let exists = !found(&self.root, name).is_empty();
                    existed |= exists;
                    existed && !exists
                }
                Moment::After(ms) => began.elapsed() >= Duration::from_millis(ms),
            };
            if is_reached || has_ended() {
                return is_reached;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Every file of this name, with its inode and the time of its last change.
fn found(root: &Path, name: &str) -> Vec<(PathBuf, (u64, i64, i64))> {
    let mut paths = vec![root.to_owned()];
    for part in name.split('/') {
        paths = match part.strip_suffix('*') {
            None => paths.into_iter().map(|path| path.join(part)).collect(),
            Some(start) => paths.iter().flat_map(|path| beginning(path, start)).collect(),
        };
    }
    let with_state = paths.into_iter().filter_map(|path| {
        let about = fs::symlink_metadata(&path).ok()?;
        Some((path, (about.ino(), about.ctime(), about.ctime_nsec())))
    });
    with_state.collect()
}

fn beginning(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    named.map(|entry| entry.path()).collect()
}
