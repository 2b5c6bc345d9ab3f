//! Works on several items at once, with a limited number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Does `work` on every item, on at most `at_once` of them at a time, starting them in order. `done` gets each result
/// as it arrives, with its item's index, on the caller's thread.
pub fn side_by_side<T: Sync, R: Send>(
    at_once: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(usize, R),
) {
    let (next, work) = (AtomicUsize::new(0), &work);
    let (sender, results) = mpsc::channel();
    let worker = |sender: mpsc::Sender<(usize, R)>| {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            // The receiver lives as long as this scope.
            let _ = sender.send((index, work(item)));
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            let (worker, sender) = (&worker, sender.clone());
            scope.spawn(move || worker(sender));
        }
        drop(sender);
        for (index, result) in results {
            done(index, result);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    #[test]
    fn every_result_is_returned_with_its_index_when_ready() {
        let (first_is_done, changed) = (Mutex::new(false), Condvar::new());
        let mut order = Vec::new();
        let work = |item: &u32| {
            if *item == 10 {
                // Wait until the caller has the other result.
                let done = first_is_done.lock().unwrap();
                let wait = changed.wait_timeout_while(done, Duration::from_secs(60), |done| !*done);
                assert!(!wait.unwrap().1.timed_out(), "one result waits for another");
            }
            item + 1
        };
        side_by_side(2, &[10, 20], work, |index, result| {
            order.push((index, result));
            *first_is_done.lock().unwrap() = true;
            changed.notify_all();
        });
        assert_eq!(order, [(1, 21), (0, 11)]);
    }

    #[test]
    fn parallelism_reaches_but_never_exceeds_the_limit() {
        let (running, changed) = (Mutex::new((0, 0)), Condvar::new());
        let work = |_: &u32| {
            let mut counts = running.lock().unwrap();
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
            changed.notify_all();
            // Three must run at once before the first ends.
            let met = changed.wait_timeout_while(counts, Duration::from_secs(60), |counts| counts.1 < 3);
            let (mut counts, wait) = met.unwrap();
            assert!(!wait.timed_out(), "they do not run at once");
            counts.0 -= 1;
        };
        let mut done = 0;
        side_by_side(3, &[0; 12], work, |_, ()| done += 1);
        assert_eq!((running.lock().unwrap().1, done), (3, 12));
    }

    #[test]
    fn an_empty_list_ends_immediately() {
        side_by_side(4, &[(); 0], |()| (), |_, ()| panic!("there are no items"));
    }
}
