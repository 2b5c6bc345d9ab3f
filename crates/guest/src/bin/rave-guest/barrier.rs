//! `rave-guest barrier`: the unit that services with secrets wait for. It ends when another process calls [`open`],
//! after a clone got its own identity.

use crate::error::Error;
use crate::files::{self, failed};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A FIFO: its reader sleeps until somebody writes, fifo(7).
const FIFO: &str = "/run/rave/barrier";
/// The word that opens the barrier.
const OPEN: &[u8] = b"open\n";
/// Linux's `O_NONBLOCK` on x86-64 and arm64: writing without a reader is an error.
const O_NONBLOCK: i32 = 0o4000;
/// How long the barrier's process may take to read.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run() -> Result<(), Error> {
    wait(Path::new(FIFO))
}

fn wait(fifo: &Path) -> Result<(), Error> {
    if let Some(folder) = fifo.parent() {
        files::directory(folder, 0o755, None)?;
    }
    match mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed("make", fifo)(error.into())),
    }
    // Anything else that is written does not open it.
    while fs::read(fifo).map_err(failed("read", fifo))? != OPEN {}
    Ok(())
}

/// Lets the barrier's process end.
pub(crate) fn open() -> Result<(), Error> {
    write(Path::new(FIFO))
}

fn write(fifo: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let writer = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(fifo);
        match writer.and_then(|mut writer| writer.write_all(OPEN)) {
            Err(_) if Instant::now() < deadline => thread::sleep(PAUSE),
            result => return result.map_err(failed("open the barrier", fifo)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_barrier_opens_only_on_its_request() {
        let scratch = tempfile::tempdir().unwrap();
        let fifo = scratch.path().join("run/barrier");
        let (done, ended) = channel();
        let waits = fifo.clone();
        let thread = thread::spawn(move || {
            wait(&waits).unwrap();
            done.send(()).unwrap();
        });
        while !fifo.exists() {
            thread::sleep(PAUSE);
        }
        fs::write(&fifo, "close\n").unwrap();
        drop(OpenOptions::new().write(true).open(&fifo).unwrap());
        assert!(ended.recv_timeout(Duration::from_millis(100)).is_err());
        write(&fifo).unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        thread.join().unwrap();
    }
}
