//! Work of a machine after its barrier was opened, in parallel to its server. It must finish before the machine is held
//! again: otherwise each fork would continue it, and start services while everything else is stopped.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

static RUNNING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Runs it in its own thread. Each of its steps must have a limit.
pub(crate) fn run(what: impl FnOnce() + Send + 'static) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|thread| !thread.is_finished());
    running.push(thread::spawn(what));
}

/// Waits for all of it.
pub(crate) fn wait() {
    let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    for thread in running {
        let _ = thread.join(); // a panic was already reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn all_commands_are_waited_for() {
        let done = Arc::new(AtomicU32::new(0));
        for pause in [0, 50] {
            let done = Arc::clone(&done);
            run(move || {
                thread::sleep(Duration::from_millis(pause));
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        wait();
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}
