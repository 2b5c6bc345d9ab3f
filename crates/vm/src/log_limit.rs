//! Limits the logs that a guest writes through QEMU: a guest may print for days and would fill the disk.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

/// The maximum length of a log, bytes; the previous part is kept beside it with the suffix `.1`.
pub(crate) const LIMIT: u64 = 16 << 20;

/// How often the logs are checked: a guest prints a few MiB in that time.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Limits the logs of one machine until it is dropped.
#[derive(Debug)]
pub(crate) struct LogLimit {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LogLimit {
    /// Starts to limit these files, which QEMU has opened for appending.
    pub(crate) fn start(logs: Vec<Utf8PathBuf>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let check = move || {
            while stopped.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                for log in &logs {
                    // If it cannot be truncated now, try again next time.
                    let _ = shorten(log, LIMIT);
                }
            }
        };
        Self { stop: Some(stop), thread: Some(thread::spawn(check)) }
    }
}

impl Drop for LogLimit {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Truncates a log that is longer than `limit`; its contents are kept until the next time. What is written in between
/// is lost: the writer continues at the end (open(2), `O_APPEND`).
fn shorten(log: &Utf8Path, limit: u64) -> io::Result<()> {
    if fs::metadata(log)?.len() <= limit {
        return Ok(());
    }
    let mut earlier = File::create(format!("{log}.1"))?;
    io::copy(&mut last(log, limit)?, &mut earlier)?;
    File::options().write(true).open(log)?.set_len(0)
}

/// The last bytes of a file, which may grow meanwhile.
fn last(path: &Utf8Path, most: u64) -> io::Result<impl Read> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    Ok(file.take(most))
}

/// The last bytes of a log.
pub(crate) fn tail(log: &Utf8Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    last(log, most)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_long_log_wraps_and_its_earlier_part_is_kept_once() {
        let scratch = tempfile::tempdir().unwrap();
        let log = Utf8PathBuf::from_path_buf(scratch.path().join("log")).unwrap();
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        for (text, expected) in [("12345", "12345"), ("6", ""), ("abc", "abc"), ("defg", "")] {
            writer.write_all(text.as_bytes()).unwrap();
            shorten(&log, 5).unwrap();
            assert_eq!(fs::read_to_string(&log).unwrap(), expected);
        }
        assert_eq!(fs::read_to_string(format!("{log}.1")).unwrap(), "cdefg", "as long as the limit");
        assert_eq!(tail(&Utf8PathBuf::from(format!("{log}.1")), 2).unwrap(), b"fg");
        assert!(shorten(&log.with_file_name("gone"), 5).is_err());
    }
}
