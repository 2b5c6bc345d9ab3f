//! Limits concurrent starts: a host that starts everything at once starts nothing in time.

use std::fs::{File, OpenOptions, TryLockError};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread::available_parallelism;
use std::time::Duration;

use camino::Utf8Path;
use rave_process::interrupt;

use crate::error::Error;
use crate::files::private_dir;
use crate::store::Store;

/// How often to retry.
const PAUSE: Duration = Duration::from_millis(50);
/// Concurrent starts per processor of the host: one waits for its disk while another computes.
const EACH: usize = 2;

/// A turn to start, until this is dropped or the process ends, for whatever reason (flock(2)).
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for a turn; if it has to wait, `on_wait` is called once with the number of concurrent starts.
    pub fn take(store: &Store, on_wait: &mut dyn FnMut(usize)) -> Result<Self, Error> {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of(&store.starts(), processors * EACH, on_wait)
    }

    fn of(folder: &Utf8Path, most: usize, on_wait: &mut dyn FnMut(usize)) -> Result<Self, Error> {
        private_dir(folder)?;
        let mut notified = false;
        loop {
            for number in 0..most {
                let path = folder.join(number.to_string());
                let open =
                    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
                let file = open.map_err(|e| Error::io("lock", &path, e))?;
                match file.try_lock() {
                    Ok(()) => return Ok(Self { _file: file }),
                    Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            if !notified {
                on_wait(most);
                notified = true;
            }
            interrupt::pause(PAUSE)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn late_starts_wait_until_one_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let starts = Utf8Path::from_path(folder.path()).unwrap().join("starts");
        let first = Turn::of(&starts, 2, &mut |_| panic!("nothing is starting")).unwrap();
        let _second = Turn::of(&starts, 2, &mut |_| panic!("one is starting")).unwrap();
        let (notified, waits) = channel();
        thread::scope(|scope| {
            let third = scope.spawn(|| Turn::of(&starts, 2, &mut |most| notified.send(most).unwrap()));
            assert_eq!(waits.recv().unwrap(), 2);
            assert!(!third.is_finished());
            drop(first);
            third.join().unwrap().unwrap();
        });
    }
}
