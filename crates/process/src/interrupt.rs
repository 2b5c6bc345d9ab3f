//! Handles Ctrl-C, SIGTERM and SIGHUP for the whole process.
//!
//! Commands run in their own groups, so the terminal's Ctrl-C reaches only this process, which passes the request on.
//!
//! - The first signal asks every command to stop (SIGTERM, then SIGKILL after [`crate::STOP_GRACE`]), except those
//!   marked with [`crate::Cmd::survives_interrupt`]. Running commands return [`crate::Error::Interrupted`]; no new one
//!   starts.
//! - The second kills every command at once.
//! - The third ends this process as the signal would have done without this handler.
//!
//! Signals that arrive together (a service manager sends SIGTERM and SIGHUP) count as one request.

mod request;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::{STOP_GRACE, registry};

pub use request::{Interrupted, Signal, check, pause, requested};

/// Signals closer together than this count as one request.
const TOGETHER: Duration = Duration::from_millis(200);

/// Whether the handlers are installed.
static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Handles SIGINT, SIGTERM and SIGHUP from now on, and disarms SIGXFSZ; a second call does nothing. A signal that was
/// ignored when this process was started (nohup, a background job) stays ignored.
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
    // Exceeding `ulimit -f` is then an error of the write instead of the end of this process (setrlimit(2)). Commands
    // get the default action back (execve(2)).
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    *installed = true;
    Ok(())
}

fn act(wishes: u32, number: i32) {
    match wishes {
        1 => {
            request::record(number);
            registry::ask_all();
            thread::spawn(|| {
                thread::sleep(STOP_GRACE);
                registry::kill_asked();
            });
        }
        2 => registry::kill_all(),
        _ => {
            // This only fails for signals whose default action cannot be restored, which these three are not.
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
