//! Locks between processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, interrupt, shell_quote};

/// How often to retry a held lock: at first, and after some attempts. Waiting for flock(2) could not be interrupted.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// The most that is read from a lock file, bytes.
const RECORD_LIMIT: u64 = 16 * 1024;

/// The holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command line, shell-quoted.
    pub command: String,
}

/// An advisory lock on a file, flock(2): one process at a time. The kernel releases it when the value is dropped or the
/// process ends, for whatever reason. The file stays; its first line is the holder's process id, its second the command
/// line.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock on `path`, which is created if it is missing, waiting while another process holds it. `on_wait`
    /// is called once for each holder that is waited for. An interrupt ends the wait with [`Error::Interrupted`].
    pub fn acquire(path: impl AsRef<Path>, on_wait: &mut dyn FnMut(&Holder)) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |source| Error::Io {
            action: "could not take the lock".to_owned(),
            command: format!("lock {}", path.display()),
            source,
        };
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let file = open.map_err(failed)?;
        let mut reported: Option<Holder> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(holder) = holder(&file).map_err(failed)?
                && reported.as_ref() != Some(&holder)
            {
                on_wait(&holder);
                reported = Some(holder);
            }
            interrupt::pause(pause).map_err(|interrupted| Error::Interrupted {
                command: format!("wait for the lock {}", path.display()),
                signal: interrupted.signal,
            })?;
            pause = (pause * 2).min(LAST_PAUSE);
        }
        record(&file).map_err(failed)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The locked file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes this process's id and command line.
fn record(mut file: &File) -> io::Result<()> {
    let arguments = std::env::args_os().map(|word| shell_quote(&word.to_string_lossy()));
    let command = arguments.collect::<Vec<_>>().join(" ").replace('\n', " ");
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{}\n{command}\n", std::process::id()).as_bytes())
}

/// The content of the file. `None` if a holder has not written it yet, or the process that wrote it is gone.
fn holder(mut file: &File) -> io::Result<Option<Holder>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(RECORD_LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let (Some(pid), Some(command)) = (lines.next(), lines.next()) else { return Ok(None) };
    let Some(pid) = pid.parse().ok().filter(|pid| is_alive(*pid)) else { return Ok(None) };
    Ok(Some(Holder { pid, command: command.to_owned() }))
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Only for readers: closing the file releases the lock.
        let _ = self.file.set_len(0);
    }
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // A process of another user cannot be signalled, but exists.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
