//! A limited number of threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The largest number of threads.
const MOST: usize = 256;
/// Bytes of a thread's stack.
const STACK: usize = 512 * 1024;

/// The number of running threads.
#[derive(Debug, Default)]
pub(crate) struct Threads(Arc<AtomicUsize>);

/// One running thread, until it is dropped.
struct One(Arc<AtomicUsize>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// Starts a thread; false if there are too many.
    pub(crate) fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<bool> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let one = One(Arc::clone(&self.0));
        if before >= MOST {
            return Ok(false);
        }
        let run = move || {
            let _one = one;
            work();
        };
        thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run)?;
        Ok(true)
    }
}
