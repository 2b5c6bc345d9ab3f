//! Records the events of a running sandbox: a thread writes them once a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::event::Event;
use crate::files::Files;
use crate::fold::{Fold, Folded};
use crate::writer::{Writer, now};

/// The interval of writing and of retries.
const SECOND: Duration = Duration::from_secs(1);
/// How long to wait for another writer, which is a command.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes events, from any thread and without waiting for the disk. Dropping it writes the remaining events.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    can_record: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    fold: Fold,
    /// Why the record cannot be written.
    failure: Option<String>,
    /// The number of requests to write everything at once, and how many of them were answered.
    flush_requests: u64,
    answered: u64,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Opens the record of a sandbox. Retries if it cannot be written; [`Recorder::can_record`] reports this.
    pub fn start(files: Files, sandbox: &str) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            can_record: AtomicBool::new(false),
        });
        let mut pen =
            Pen { files, sandbox: sandbox.to_owned(), writer: None, failed: None, waiting: Vec::new() };
        pen.write(&shared);
        let other = Arc::clone(&shared);
        let thread = thread::Builder::new().name("audit".into()).spawn(move || run(&other, pen))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Records an event that happens now.
    pub fn see(&self, event: Event) {
        let mut state = self.shared.lock();
        let was_empty = state.fold.is_empty();
        state.fold.add(event, now());
        if was_empty {
            self.shared.changed.notify_all();
        }
    }

    /// Whether the last attempt to write succeeded.
    pub fn can_record(&self) -> bool {
        self.shared.can_record.load(Ordering::Relaxed)
    }

    /// Why the record cannot be written, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }

    /// Waits until all previous events are written and synced to disk, or have failed to be, for a few seconds at most.
    pub fn flush(&self) {
        let mut state = self.shared.lock();
        state.flush_requests += 1;
        let mine = state.flush_requests;
        self.shared.changed.notify_all();
        let waits = |state: &mut State| state.answered < mine && !state.is_over;
        drop(self.shared.changed.wait_timeout_while(state, PATIENCE, waits));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, mut pen: Pen) {
    loop {
        let is_over = wait(shared);
        let flush_requests = pen.write(shared);
        let is_flush_requested = is_over || flush_requests > shared.lock().answered;
        if is_flush_requested && let Some(writer) = &mut pen.writer {
            // If this fails, the next line fails too.
            let _ = writer.finish();
        }
        shared.lock().answered = flush_requests;
        shared.changed.notify_all();
        if is_over {
            return;
        }
    }
}

/// Waits for an event and then for the rest of a second, unless a write is urgent. Returns whether the recorder ends.
fn wait(shared: &Shared) -> bool {
    let mut state = shared.lock();
    let is_urgent = |state: &State| state.is_over || state.flush_requests > state.answered;
    // Retry a failed write even without new events: the network waits for it.
    while state.fold.is_empty() && state.failure.is_none() && !is_urgent(&state) {
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let deadline = Instant::now() + SECOND;
    while !is_urgent(&state) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        (state, _) = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
    }
    state.is_over
}

/// The state of the writing thread.
struct Pen {
    files: Files,
    sandbox: String,
    writer: Option<Writer>,
    /// When writing began to fail, and why.
    failed: Option<(u64, String)>,
    /// Lines that could not be written yet. They cover one second at most, because nothing more is taken out of the
    /// fold until they are written.
    waiting: Vec<Folded>,
}

impl Pen {
    /// Writes all events. Returns the number of the last request that this includes.
    fn write(&mut self, shared: &Shared) -> u64 {
        let flush_requests = {
            let mut state = shared.lock();
            if self.waiting.is_empty() {
                self.waiting = state.fold.take();
            }
            state.flush_requests
        };
        let result = self.try_write();
        if let Err(error) = &result {
            let why = error.to_string();
            let since = self.failed.take().map_or_else(now, |(since, _)| since);
            self.failed = Some((since, why));
        }
        shared.can_record.store(result.is_ok(), Ordering::Relaxed);
        shared.lock().failure = result.err().map(|error| error.to_string());
        flush_requests
    }

    fn try_write(&mut self) -> Result<(), Error> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::open(&self.files, &self.sandbox, PATIENCE)?),
        };
        let mut lines = self.waiting.clone();
        if let Some((since, why)) = &self.failed {
            let now = now();
            let event = Event::Gap { ms: now.saturating_sub(*since), why: why.clone() }.bounded();
            lines.push(Folded { first: *since, last: now, count: 1, event });
        }
        let result = writer.append(&lines);
        match &result {
            Ok(()) => {
                self.failed = None;
                self.waiting.clear();
            }
            // Whatever failed before, any file of that name is now another one.
            Err(Error::Gone { .. }) => self.writer = None,
            Err(_) => {}
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    #[test]
    fn a_record_removed_during_a_failure_is_recreated() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::at(Utf8Path::from_path(folder.path()).unwrap());
        let shared =
            Shared { state: Mutex::default(), changed: Condvar::new(), can_record: AtomicBool::new(false) };
        let (record, sandbox) = (files.record.clone(), "box".to_owned());
        let mut pen = Pen { files, sandbox, writer: None, failed: None, waiting: Vec::new() };
        pen.write(&shared);
        assert!(shared.can_record.load(Ordering::Relaxed));
        // As after a full disk.
        pen.failed = Some((now(), "no space".into()));
        std::fs::remove_file(&record).unwrap();
        pen.write(&shared);
        assert!(shared.lock().failure.as_ref().is_some_and(|why| why.contains("was removed")));
        pen.write(&shared);
        assert_eq!(shared.lock().failure, None);
        assert!(record.exists() && shared.can_record.load(Ordering::Relaxed));
    }
}
