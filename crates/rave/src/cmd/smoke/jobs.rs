//! Several machines side by side.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rave_image::space::available_memory;
use rave_process::interrupt;
use rave_spec::VmSize;

/// MiB that QEMU needs besides its guest's memory.
const OF_QEMU: u64 = 512;

/// How many machines fit on this host at once, by memory and processors; at least one.
pub(super) fn that_fit(vm: VmSize) -> usize {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let memory = available_memory().map(|bytes| bytes >> 20);
    fit(memory, cpus, vm.memory.get(), vm.cpus as usize)
}

fn fit(memory_mib: Option<u64>, cpus: usize, memory_of_each: u64, cpus_of_each: usize) -> usize {
    // If the free memory is unknown, run one machine, as `run` does.
    let by_memory = memory_mib.map_or(1, |mib| mib / (memory_of_each + OF_QEMU));
    usize::try_from(by_memory).unwrap_or(usize::MAX).min(cpus / cpus_of_each.max(1)).max(1)
}

/// The results of the items that were started, in order; and the first error, after which, as after an interrupt, no
/// other item is started. Running items finish first.
pub(super) fn side_by_side<T: Sync, R: Send, E: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> (Vec<R>, Result<(), E>) {
    let is_over = AtomicBool::new(false);
    let begin = |item: &T| {
        if is_over.load(Ordering::Relaxed) || interrupt::requested().is_some() {
            return None;
        }
        let result = work(item);
        is_over.fetch_or(result.is_err(), Ordering::Relaxed);
        Some(result)
    };
    let (mut done, mut end) = (Vec::new(), Ok(()));
    rave_smoke::side_by_side(jobs, items, begin, |index, result| match result {
        Some(Ok(result)) => done.push((index, result)),
        Some(Err(error)) if end.is_ok() => end = Err(error),
        Some(Err(_)) | None => {}
    });
    done.sort_by_key(|(index, _)| *index);
    (done.into_iter().map(|(_, result)| result).collect(), end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn memory_and_processors_limit_the_jobs_to_at_least_one() {
        assert_eq!(fit(Some(23_000), 2, 4096, 2), 1);
        assert_eq!(fit(Some(23_000), 16, 4096, 2), 4);
        assert_eq!(fit(Some(23_000), 4, 1024, 1), 4);
        assert_eq!(fit(Some(900), 8, 4096, 2), 1);
        assert_eq!(fit(None, 8, 4096, 2), 1);
    }

    #[test]
    fn two_jobs_run_in_parallel_and_results_keep_their_order() {
        let both = Barrier::new(2);
        let (results, end) = side_by_side(2, &[10, 20], |item| {
            // A single one would wait here forever.
            both.wait();
            Ok::<_, ()>(item + 1)
        });
        assert_eq!((results, end), (vec![11, 21], Ok(())));
    }

    #[test]
    fn no_job_starts_after_an_error() {
        let begun = AtomicUsize::new(0);
        let (results, end) = side_by_side(1, &[1, 2, 3], |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 2 { Err("broken") } else { Ok(*item) }
        });
        assert_eq!((results, end, begun.into_inner()), (vec![1], Err("broken"), 2));
    }
}
