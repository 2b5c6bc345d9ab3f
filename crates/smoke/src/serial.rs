//! The end of a serial console's log, for reports.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use camino::Utf8Path;
use rave_vm::boot::StageDetector;

/// The number of lines of the log that a report keeps.
const LINES: usize = 15;

/// The bytes of the log that are read, enough for [`LINES`] lines, however long the log is.
const BYTES: u64 = 64 * 1024;

/// The log's last lines, without escape sequences and empty lines.
pub fn last_lines(log: &Utf8Path) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    let mut detector = StageDetector::default();
    detector.serial(&bytes, Duration::ZERO);
    let mut lines = detector.last_lines();
    lines.drain(..lines.len().saturating_sub(LINES));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn the_tail_of_a_long_log_is_clean_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = Utf8Path::from_path(folder.path()).unwrap().join("serial.log");
        assert!(last_lines(&log).is_err());
        let mut text = String::new();
        for n in 0..10_000 {
            write!(text, "\u{1b}[0;32m[  OK  ]\u{1b}[0m unit {n}\r\n\r\n").unwrap();
        }
        std::fs::write(&log, text + "rave login: ").unwrap();
        let lines = last_lines(&log).unwrap();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[LINES - 2..], ["[  OK  ] unit 9999", "rave login:"]);
    }
}
