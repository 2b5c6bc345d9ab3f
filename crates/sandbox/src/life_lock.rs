//! The life lock of a sandbox: only one process at a time starts, stops or removes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::Duration;

use rave_process::interrupt;

use crate::error::Error;
use crate::place::Place;

/// How often to retry a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(50);

/// Held until this is dropped, or the process ends, for whatever reason (flock(2)).
#[derive(Debug)]
pub struct LifeLock {
    _file: File,
}

impl LifeLock {
    /// Takes the lock of a sandbox whose folder exists, waiting while another process holds it; in that case, `on_wait`
    /// is called once.
    pub fn take(place: &Place, on_wait: &mut dyn FnMut()) -> Result<Self, Error> {
        let path = place.lock();
        let mut notified = false;
        loop {
            let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let file = open.map_err(|e| Error::io("lock", &path, e))?;
            match file.try_lock() {
                // The previous holder may have removed the sandbox: then this lock file is no longer its lock.
                Ok(()) if is_at(&file, &path) => return Ok(Self { _file: file }),
                Ok(()) => continue,
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if !notified {
                on_wait();
                notified = true;
            }
            interrupt::pause(PAUSE)?;
        }
    }
}

impl LifeLock {
    /// Whether a process holds the lock of a folder that no sandbox has any more.
    pub(crate) fn is_held(path: &camino::Utf8Path) -> bool {
        let tried = File::open(path).map(|file| file.try_lock());
        matches!(tried, Ok(Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock if no process holds it.
    pub(crate) fn try_take(place: &Place) -> Result<Option<Self>, Error> {
        let path = place.lock();
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.map_err(|e| Error::io("lock", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(is_at(&file, &path).then_some(Self { _file: file })),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
            Err(TryLockError::WouldBlock) => Ok(None),
        }
    }
}

fn is_at(file: &File, path: &camino::Utf8Path) -> bool {
    let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), path.metadata()), (Ok(a), Ok(b)) if same(&a, &b))
}
