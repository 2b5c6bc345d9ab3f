//! This process's own peak memory while a stage runs, by looking often.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Runs `work` and gives its result with the peak of the resident memory in MiB, children not counted.
pub(super) fn with_peak<T>(work: impl FnOnce(&Peak) -> T) -> T {
    let peak = Peak { kibibytes: AtomicU64::new(0), done: AtomicBool::new(false) };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !peak.done.load(Ordering::Relaxed) {
                peak.look();
                thread::sleep(LOOK);
            }
        });
        let _stop = Stop(&peak);
        work(&peak)
    })
}

/// Ends the looking, also when the work panics.
struct Stop<'a>(&'a Peak);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Relaxed);
    }
}

/// The largest memory seen since it was last taken.
pub(super) struct Peak {
    kibibytes: AtomicU64,
    done: AtomicBool,
}

impl Peak {
    fn look(&self) {
        if let Some(now) = resident_kibibytes() {
            self.kibibytes.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The peak in MiB; the next one counts from here.
    pub(super) fn take(&self) -> f64 {
        self.look();
        #[expect(clippy::cast_precision_loss, reason = "kibibytes of memory stay far below 2^52")]
        let kibibytes = self.kibibytes.swap(0, Ordering::Relaxed) as f64;
        kibibytes / 1024.0
    }
}

/// `VmRSS` of `proc_pid_status(5)`.
fn resident_kibibytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_allocation_is_seen_and_forgotten() {
        with_peak(|peak| {
            let before = peak.take();
            let block = vec![1_u8; 64 << 20];
            peak.look();
            drop(std::hint::black_box(block));
            assert!(peak.take() >= before + 60.0);
            assert!(peak.take() < before + 30.0);
        });
    }
}
