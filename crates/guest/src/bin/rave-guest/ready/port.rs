//! The virtio-serial port, which may appear late, have no reader, or be missing.

use rave_guest::protocol::PORT_NAME;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Linux's `O_NONBLOCK` on x86-64 and arm64: otherwise a write to a port without a reader would block forever.
const O_NONBLOCK: i32 = 0o4000;
/// The largest backlog in bytes; the oldest lines are dropped first.
const MAX_BACKLOG: usize = 256 * 1024;

/// Keeps lines until the host reads them.
pub(super) struct ReadyPort {
    path: PathBuf,
    file: Option<File>,
    backlog: VecDeque<Vec<u8>>,
}

impl Default for ReadyPort {
    fn default() -> Self {
        Self::at(PathBuf::from("/dev/virtio-ports").join(PORT_NAME))
    }
}

impl ReadyPort {
    fn at(path: PathBuf) -> Self {
        Self { path, file: None, backlog: VecDeque::new() }
    }

    /// Queues a line and sends as much as possible.
    pub(super) fn send(&mut self, line: &str) {
        self.backlog.push_back(line.as_bytes().to_vec());
        while self.backlog.iter().map(Vec::len).sum::<usize>() > MAX_BACKLOG {
            self.backlog.pop_front();
        }
        self.flush();
    }

    /// Sends as much as possible. True if nothing is left, or if there is no port.
    pub(super) fn flush(&mut self) -> bool {
        if self.file.is_none() {
            self.file = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return !self.path.exists() };
        while let Some(line) = self.backlog.front_mut() {
            match file.write(line) {
                Ok(count) if count == line.len() => {
                    self.backlog.pop_front();
                }
                Ok(count) => {
                    line.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        self.file = None; // unplugged: open it again
                    }
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::time::Duration;

    #[test]
    fn a_missing_port_blocks_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let mut port = ReadyPort::at(scratch.path().join("none"));
        port.send("a\n");
        assert!(port.flush());
    }

    #[test]
    fn lines_are_kept_for_a_reader_in_order() {
        // A FIFO without a reader cannot be opened without blocking, and a full one refuses bytes, like the port.
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("fifo");
        crate::spawn::output("mkfifo", &[path.to_str().unwrap()], Duration::from_secs(5)).unwrap();
        let mut port = ReadyPort::at(path.clone());
        port.send("first\n");
        assert!(!port.flush(), "nobody reads yet");
        let mut reader = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
        let long = "x".repeat(100_000) + "\n";
        port.send(&long);
        let mut got = Vec::new();
        let mut buffer = vec![0; 65_536];
        while !port.flush() || got.len() < 6 + long.len() {
            let count = reader.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(String::from_utf8(got).unwrap(), format!("first\n{long}"));
    }

    #[test]
    fn the_backlog_is_bounded() {
        let scratch = tempfile::tempdir().unwrap();
        let mut port = ReadyPort::at(scratch.path().join("none"));
        for _ in 0..10 {
            port.send(&"x".repeat(MAX_BACKLOG / 4));
        }
        assert!(port.backlog.iter().map(Vec::len).sum::<usize>() <= MAX_BACKLOG);
    }
}
