//! Ctrl-C, SIGTERM and SIGHUP, for the whole process.
//!
//! Commands run in groups of their own, so the terminal's Ctrl-C reaches only this process: it passes the wish on.
//!
//! - The first signal asks every command to stop (SIGTERM, then SIGKILL after [`crate::STOP_GRACE`]), but those marked
//!   with [`crate::Cmd::survives_interrupt`]. Running commands return [`crate::Error::Interrupted`]; no new one starts.
//! - The second kills every command at once.
//! - The third ends this process as the signal would have without us.
//!
//! Signals that arrive together (a service manager sends SIGTERM and SIGHUP) are one wish.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::{STOP_GRACE, registry};

/// Signals closer together than this are one wish.
const TOGETHER: Duration = Duration::from_millis(200);

/// A signal that asks this process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: kill(1), a service manager.
    Terminate,
    /// SIGHUP: the terminal went away.
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
    /// What was received.
    pub signal: Signal,
}

/// The number of the first signal, 0 before it.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// Whether the handlers are in place; also what [`pause`] waits on.
static INSTALLED: Mutex<bool> = Mutex::new(false);
static ARRIVED: Condvar = Condvar::new();

/// Handles SIGINT, SIGTERM and SIGHUP from now on, and takes SIGXFSZ; a second call does nothing. A signal that this process was started
/// with ignored (nohup, a background job) stays ignored.
pub fn install() -> io::Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    let ignored = ignored_signals()?;
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|number| ignored & (1 << (number - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        let mut last: Option<Instant> = None;
        let mut wishes = 0;
        for number in signals.forever() {
            if last.is_some_and(|last| last.elapsed() < TOGETHER) {
                continue;
            }
            last = Some(Instant::now());
            wishes += 1;
            act(wishes, number);
        }
    })?;
    // A file beyond `ulimit -f` is then an error of the write, not the end of this process (setrlimit(2)). Commands have
    // the default again (execve(2)).
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    *installed = true;
    Ok(())
}

fn act(wishes: u32, number: i32) {
    match wishes {
        1 => {
            {
                let _lock = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
                FIRST.store(number, Ordering::SeqCst);
            }
            ARRIVED.notify_all();
            registry::ask_all();
            thread::spawn(|| {
                thread::sleep(STOP_GRACE);
                registry::kill_asked();
            });
        }
        2 => registry::kill_all(),
        _ => {
            // Only a signal that may not be restored fails here, and these three may.
            let _ = signal_hook::low_level::emulate_default_handler(number);
        }
    }
}

/// The signals ignored by this process, bit n-1 for signal n: `SigIgn` of `proc_pid_status(5)`.
fn ignored_signals() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no SigIgn in /proc/self/status"))
}

/// The first signal that arrived, if one did.
pub fn requested() -> Option<Signal> {
    Signal::from_number(FIRST.load(Ordering::SeqCst))
}

/// An error once a signal has arrived. For loops that run no command: hashing, copying, polling.
pub fn check() -> Result<(), Interrupted> {
    requested().map_or(Ok(()), |signal| Err(Interrupted { signal }))
}

/// Waits for `duration`, or returns the error as soon as a signal arrives. For polling with back-off.
pub fn pause(duration: Duration) -> Result<(), Interrupted> {
    let lock = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = ARRIVED.wait_timeout_while(lock, duration, |_| requested().is_none());
    drop(waited.unwrap_or_else(PoisonError::into_inner));
    check()
}
