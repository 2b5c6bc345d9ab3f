//! Follows the files that a boot writes.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::protocol::GuestEvent;

use super::StageDetector;
use crate::Error;
use crate::machine::Files;

/// How often the files are read.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// One boot, watched from its beginning.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    serial: Follow,
    ready: Follow,
    pub(crate) detector: StageDetector,
}

impl Watch {
    /// Watches a machine that starts now; its files are empty or missing.
    pub(crate) fn of_start(files: &Files) -> Self {
        Self {
            started: Instant::now(),
            serial: Follow::new(&files.serial_log),
            ready: Follow::new(&files.ready_log),
            detector: StageDetector::default(),
        }
    }

    /// Watches the next boot of the same machine, which is requested now: what the files contain so far belongs to the
    /// previous boot, and so do events with its id.
    pub(crate) fn restart(&mut self, previous_boot: Option<String>) -> Result<(), Error> {
        self.serial.skip_to_end()?;
        self.detector = StageDetector::after_boot(previous_boot);
        self.started = Instant::now();
        Ok(())
    }

    /// Adds the firmware's new output and reads the new contents of the files; returns the events in them.
    pub(crate) fn poll(&mut self, firmware: &[u8]) -> Result<Vec<GuestEvent>, Error> {
        let Self { started, serial, ready, detector } = self;
        let now = || started.elapsed();
        detector.firmware(firmware, now());
        serial.read(&mut |bytes| detector.serial(bytes, now()))?;
        let mut events = Vec::new();
        ready.read(&mut |bytes| events.extend(detector.ready(bytes, now())))?;
        Ok(events)
    }

    /// The time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A file that another process appends to.
#[derive(Debug)]
struct Follow {
    path: Utf8PathBuf,
    file: Option<File>,
}

impl Follow {
    fn new(path: &Utf8Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    /// Passes on what was appended since the last call. A missing file counts as empty.
    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(Error::io("read", &self.path, error)),
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let failed = |error| Error::io("read", &self.path, error);
        // The file was truncated because it had become too long (`log_limit.rs`).
        if file.metadata().map_err(failed)?.len() < file.stream_position().map_err(failed)? {
            file.rewind().map_err(failed)?;
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => take(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path, error)),
            }
        }
    }

    fn skip_to_end(&mut self) -> Result<(), Error> {
        match &mut self.file {
            Some(file) => file.seek(SeekFrom::End(0)).map(drop).map_err(|e| Error::io("read", &self.path, e)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::BootStage;
    use std::fs::OpenOptions;
    use std::io::Write as _;

    fn append(path: &Utf8Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_truncated_file_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_dir(Utf8Path::from_path(folder.path()).unwrap());
        let mut watch = Watch::of_start(&files);
        append(&files.serial_log, &"noise\n".repeat(100));
        watch.poll(&[]).unwrap();
        File::options().write(true).open(&files.serial_log).unwrap().set_len(0).unwrap();
        append(&files.serial_log, "rave: boot loader\n");
        watch.poll(&[]).unwrap();
        assert_eq!(watch.detector.stage(), BootStage::BootLoader);
    }

    #[test]
    fn files_that_appear_late_and_grow_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_dir(Utf8Path::from_path(folder.path()).unwrap());
        let mut watch = Watch::of_start(&files);
        assert_eq!((watch.poll(&[]).unwrap(), watch.detector.stage()), (Vec::new(), BootStage::Firmware));
        append(&files.serial_log, "rave: boot");
        watch.poll(&[]).unwrap();
        append(&files.serial_log, " loader\n");
        append(&files.ready_log, "{\"stage\":\"userspace\",\"state\":\"ok\"}\n");
        assert_eq!(watch.poll(&[]).unwrap().len(), 1);
        watch.restart(None).unwrap();
        assert_eq!(watch.detector.stage(), BootStage::Firmware);
        append(&files.serial_log, "rave: boot loader\n");
        watch.poll(&[]).unwrap();
        assert_eq!(watch.detector.stage(), BootStage::BootLoader);
    }
}
