//! What a machine does once its barrier was opened, while its server goes on: it ends before the machine is held again. What was saved
//! halfway would go on in each fork, and start services while everything else stands.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

static RUNNING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Does it in a thread of its own. Each of its steps must have a limit.
pub(crate) fn run(what: impl FnOnce() + Send + 'static) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|thread| !thread.is_finished());
    running.push(thread::spawn(what));
}

/// Waits until all of it is done.
pub(crate) fn wait() {
    let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    for thread in running {
        let _ = thread.join(); // one that panicked has said so
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn all_of_it_is_waited_for() {
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
