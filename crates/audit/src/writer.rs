//! Appends lines: one writer at a time, and each goes on where the last ended, however that ended.

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

/// The longest record, bytes.
pub const LIMIT: u64 = 64 << 20;
/// So much of it is for what the guest does; the rest is for what the user does, which no guest can crowd out.
pub const GUEST_LIMIT: u64 = 60 << 20;
/// The end of it, for lines that say how much is not written.
const LAST: u64 = 64 << 10;
/// Disk space that is allocated ahead, bytes: hours of a sandbox in ordinary use.
const RESERVE: u64 = 1 << 20;
/// How often the lock of another writer is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// The one writer of a record; its lock ends with it.
#[derive(Debug)]
pub struct Writer {
    files: Files,
    record: File,
    head: HeadFile,
    state: Head,
    /// Up to here disk space is allocated, or was not available.
    reserved: u64,
    /// What was said of what is not written.
    told: u64,
}

impl Writer {
    /// Opens a record, or begins it, and waits so long for another writer. What a killed one left is repaired, and said in a line; what
    /// looks like something else is left as it is, for [`crate::verify`] to find.
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
                Some(Event::Broken { why: "there is no head of the lines before".into() }),
            ),
            Some(head) => resume(&record, head, length).map_err(|e| Error::io("read", &files.record, e))?,
        };
        let told = state.unwritten;
        let mut writer = Self { files: files.clone(), record, head, state, reserved: 0, told };
        writer.reserve();
        if let Some(event) = first {
            writer.end_line()?;
            writer.note(event)?;
        }
        Ok(writer)
    }

    /// Writes one event of now.
    pub fn note(&mut self, event: Event) -> Result<(), Error> {
        let now = now();
        self.append(&[Folded { first: now, last: now, count: 1, event: event.bounded() }])
    }

    /// Writes these lines, or none of them.
    pub(crate) fn append(&mut self, lines: &[Folded]) -> Result<(), Error> {
        let failed = |e| Error::io("write", &self.files.record, e);
        let about = self.record.metadata().map_err(failed)?;
        if about.nlink() == 0 {
            return Err(Error::Gone { path: self.files.record.clone() });
        }
        let (state, bytes) = self.render(lines).map_err(|e| failed(e.into()))?;
        if let Err(error) = self.record.write_all_at(&bytes, self.state.bytes) {
            // Half a line is none. Where that fails too, the next writer cuts it.
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
            // What began not to be written stays so: a shorter line would hide the gap.
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

    /// Says how much was not written since that was last said, and has what was written stored by the disk.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if self.state.unwritten > self.told {
            self.told = self.state.unwritten;
            self.note(Event::Unwritten { total: self.told })?;
        }
        self.record.sync_data().map_err(|e| Error::io("write", &self.files.record, e))
    }

    /// The next line begins a line.
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

    /// Allocates disk space ahead, where the file system can.
    fn reserve(&mut self) {
        let end = self.state.bytes + RESERVE;
        if self.reserved < self.state.bytes + RESERVE / 2 {
            // Without it, writing tells that the disk is full.
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

/// Where to go on after the lines that the head knows: a writer may have been killed after a line and before its head, or in a line.
fn resume(record: &File, mut head: Head, length: u64) -> io::Result<(Head, Option<Event>)> {
    let broken = |head: Head, why: String| Ok((Head { bytes: length, ..head }, Some(Event::Broken { why })));
    if length < head.bytes {
        let why = format!("its file has {length} bytes, and its head knows {}", head.bytes);
        return broken(head, why);
    }
    loop {
        let mut line = read_at(record, head.bytes, MAX_LINE)?;
        let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
            if line.is_empty() {
                return Ok((head, None));
            }
            if line.len() == MAX_LINE {
                return broken(head, "what follows the lines that its head knows is no line".into());
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
            Err(why) => return broken(head, format!("a line after those that its head knows: {why}")),
        }
    }
}

/// At most so many bytes from there on.
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
