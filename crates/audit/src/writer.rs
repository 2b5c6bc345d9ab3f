//! Appends lines: one writer at a time. Each continues where the last one ended, even if that was killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FallocateFlags, fallocate};

use crate::error::Error;
use crate::event::{Class, Event};
use crate::files::Files;
use crate::fold::Folded;
use crate::head::{Head, HeadFile};
use crate::line::{self, Entry, MAX_LINE};

/// The largest size of a record, in bytes.
pub const LIMIT: u64 = 64 << 20;
/// The part of [`LIMIT`] for the guest's events; the rest is reserved for the user's, so that no guest can crowd them
/// out.
pub const GUEST_LIMIT: u64 = 60 << 20;
/// The end of the record, reserved for lines that count what was not written, in bytes.
const LAST: u64 = 64 << 10;
/// Disk space that is allocated ahead, in bytes: enough for hours of ordinary use.
const RESERVE: u64 = 1 << 20;
/// The interval between attempts to lock.
const PAUSE: Duration = Duration::from_millis(20);

/// The only writer of a record; dropping it releases the lock.
#[derive(Debug)]
pub struct Writer {
    files: Files,
    record: File,
    head: HeadFile,
    state: Head,
    /// Disk space is allocated up to this offset, or was not available.
    reserved: u64,
    /// The value of `unwritten` that was last written as a line.
    recorded: u64,
}

impl Writer {
    /// Opens or creates a record, and waits up to `patience` for another writer. Repairs what a killed writer left, and
    /// records the repair. Any other damage is left for [`crate::verify`] to find.
    pub fn open(files: &Files, sandbox: &str, patience: Duration) -> Result<Self, Error> {
        let mut head = HeadFile::open(&files.head).map_err(|e| Error::io("open", &files.head, e))?;
        lock(&head.file, files, patience)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let record = options.open(&files.record).map_err(|e| Error::io("open", &files.record, e))?;
        let found = head.read().map_err(|e| Error::io("read", &files.head, e))?;
        let length = record.metadata().map_err(|e| Error::io("read", &files.record, e))?.len();
        let (state, first) = match found {
            None if length == 0 => (Head::default(), Some(Event::Begun { sandbox: sandbox.to_owned() })),
            None => (
                Head { bytes: length, ..Head::default() },
                Some(Event::Broken { why: "the head of the previous lines is missing".into() }),
            ),
            Some(head) => resume(&record, head, length).map_err(|e| Error::io("read", &files.record, e))?,
        };
        let recorded = state.unwritten;
        let mut writer = Self { files: files.clone(), record, head, state, reserved: 0, recorded };
        writer.reserve();
        if let Some(event) = first {
            writer.end_line()?;
            writer.note(event)?;
        }
        Ok(writer)
    }

    /// Writes one event that happens now.
    pub fn note(&mut self, event: Event) -> Result<(), Error> {
        let now = now();
        self.append(&[Folded { first: now, last: now, count: 1, event: event.bounded() }])
    }

    /// Writes all of these lines, or none.
    pub(crate) fn append(&mut self, lines: &[Folded]) -> Result<(), Error> {
        let failed = |e| Error::io("write", &self.files.record, e);
        let about = self.record.metadata().map_err(failed)?;
        if about.nlink() == 0 {
            return Err(Error::Gone { path: self.files.record.clone() });
        }
        let (state, bytes) = self.render(lines).map_err(|e| failed(e.into()))?;
        if let Err(error) = self.record.write_all_at(&bytes, self.state.bytes) {
            // Remove a partial line. If that fails too, the next writer cuts it.
            let _ = self.record.set_len(self.state.bytes);
            self.reserved = 0;
            return Err(failed(error));
        }
        self.head.write(&state).map_err(|e| Error::io("write", &self.files.head, e))?;
        self.state = state;
        self.reserve();
        Ok(())
    }

    /// The lines as bytes, and the state after them.
    fn render(&self, lines: &[Folded]) -> serde_json::Result<(Head, Vec<u8>)> {
        let mut state = self.state.clone();
        let mut bytes = Vec::new();
        for Folded { first, last, count, event } in lines {
            let is_guest = event.class() != Class::Own || matches!(event, Event::Omitted { .. });
            let limit = match event {
                Event::Full { .. } | Event::Unwritten { .. } => LIMIT,
                _ if is_guest => GUEST_LIMIT,
                _ => LIMIT - LAST,
            };
            let mut push = |state: &mut Head, event: &Event, count: u64, limit: u64| {
                let entry =
                    Entry { n: state.lines + 1, first: *first, last: *last, count, event: event.clone() };
                let (line, hash) = line::render(&entry, &state.hash)?;
                let end = state.bytes + line.len() as u64;
                let fits = end <= limit && line.len() <= MAX_LINE;
                if fits {
                    (state.lines, state.bytes, state.hash) = (entry.n, end, hash);
                    bytes.extend(line);
                }
                serde_json::Result::Ok(fits)
            };
            // Once the guest's events are no longer written, that stays so: a shorter line would hide the gap.
            if !(is_guest && state.is_full) && push(&mut state, event, *count, limit)? {
                continue;
            }
            state.unwritten = state.unwritten.saturating_add(*count);
            if !state.is_full {
                state.is_full = push(&mut state, &Event::Full { limit }, 1, LIMIT)?;
            }
        }
        Ok((state, bytes))
    }

    /// Records how many events were not written since this was last recorded, and syncs the record to disk.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if self.state.unwritten > self.recorded {
            self.recorded = self.state.unwritten;
            self.note(Event::Unwritten { total: self.recorded })?;
        }
        self.record.sync_data().map_err(|e| Error::io("write", &self.files.record, e))
    }

    /// Ends an incomplete last line, so that the next one starts on its own.
    fn end_line(&mut self) -> Result<(), Error> {
        let failed = |e| Error::io("write", &self.files.record, e);
        let Some(at) = self.state.bytes.checked_sub(1) else { return Ok(()) };
        let mut last = [b'\n'];
        match self.record.read_exact_at(&mut last, at) {
            Ok(()) if last == *b"\n" => {}
            _ => {
                self.record.write_all_at(b"\n", self.state.bytes).map_err(failed)?;
                self.state.bytes += 1;
            }
        }
        Ok(())
    }

    /// Allocates disk space ahead, if the file system supports it.
    fn reserve(&mut self) {
        let end = self.state.bytes + RESERVE;
        if self.reserved < self.state.bytes + RESERVE / 2 {
            // If this fails, the write reports that the disk is full.
            let _ = fallocate(&self.record, FallocateFlags::KEEP_SIZE, self.state.bytes, RESERVE);
            self.reserved = end;
        }
    }
}

fn lock(file: &File, files: &Files, patience: Duration) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &files.head, error)),
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                return Err(Error::Busy { path: files.record.clone() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
}

/// Finds where to continue after the lines that the head knows: a writer may have been killed in the middle of a line,
/// or after a line but before its head was written.
fn resume(record: &File, mut head: Head, length: u64) -> io::Result<(Head, Option<Event>)> {
    let broken = |head: Head, why: String| Ok((Head { bytes: length, ..head }, Some(Event::Broken { why })));
    if length < head.bytes {
        let why = format!("the file has {length} bytes, but its head expects {}", head.bytes);
        return broken(head, why);
    }
    loop {
        let mut line = read_at(record, head.bytes, MAX_LINE)?;
        let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
            if line.is_empty() {
                return Ok((head, None));
            }
            if line.len() == MAX_LINE {
                return broken(head, "the data after the lines that the head knows is not a line".into());
            }
            record.set_len(head.bytes)?;
            return Ok((head, Some(Event::Recovered { cut: line.len() as u64 })));
        };
        line.truncate(end);
        match line::check(&line, head.lines + 1, &head.hash) {
            Ok(hash) => {
                head.lines += 1;
                head.bytes += end as u64 + 1;
                head.hash = hash;
            }
            Err(why) => return broken(head, format!("a line after those that the head knows: {why}")),
        }
    }
}

/// Reads up to `most` bytes at `from`.
fn read_at(file: &File, from: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
