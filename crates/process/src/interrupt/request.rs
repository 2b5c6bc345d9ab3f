//! Whether this process was asked to stop.

use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A signal that requests this process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: kill(1), a service manager.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
}

impl Signal {
    fn from_number(number: i32) -> Option<Self> {
        match number {
            SIGINT => Some(Self::Interrupt),
            SIGTERM => Some(Self::Terminate),
            SIGHUP => Some(Self::HangUp),
            _ => None,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT (Ctrl-C)",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        })
    }
}

/// This process was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {signal}")]
pub struct Interrupted {
    /// The received signal.
    pub signal: Signal,
}

/// The number of the first signal, or 0 if none has arrived.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// Guards the change of [`FIRST`] that [`pause`] waits for.
static CHANGE: Mutex<()> = Mutex::new(());
static ARRIVED: Condvar = Condvar::new();

/// Records the first signal and wakes the threads in [`pause`].
pub(super) fn record(number: i32) {
    {
        let _lock = CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
        FIRST.store(number, Ordering::SeqCst);
    }
    ARRIVED.notify_all();
}

/// The first signal that arrived, if any.
pub fn requested() -> Option<Signal> {
    Signal::from_number(FIRST.load(Ordering::SeqCst))
}

/// Fails once a signal has arrived. For loops that run no command: hashing, copying, polling.
pub fn check() -> Result<(), Interrupted> {
    requested().map_or(Ok(()), |signal| Err(Interrupted { signal }))
}

/// Waits for `duration`, or fails as soon as a signal arrives. For polling with back-off.
pub fn pause(duration: Duration) -> Result<(), Interrupted> {
    let lock = CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = ARRIVED.wait_timeout_while(lock, duration, |()| requested().is_none());
    drop(waited.unwrap_or_else(PoisonError::into_inner));
    check()
}
