//! Peak memory while a stage runs, by frequent sampling: of this process, and of it with all its descendants.
//! The resident memory of descendants is added up (`proc_pid_stat(5)`), so a page that two of them share counts twice,
//! and short-lived processes may be missed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often this process's memory is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// After this many samples all descendants are sampled too, which takes some milliseconds.
const SAMPLES_PER_TREE: u32 = 10;

/// Runs `work` with access to the peaks of the resident memory, and returns its result.
pub(super) fn with_peak<T>(work: impl FnOnce(&Peak) -> T) -> T {
    let peak = Peak { own: AtomicU64::new(0), all: AtomicU64::new(0), done: AtomicBool::new(false) };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut samples = 0_u32;
            while !peak.done.load(Ordering::Relaxed) {
                peak.sample_own();
                if samples.is_multiple_of(SAMPLES_PER_TREE) {
                    peak.sample_all();
                }
                samples = samples.wrapping_add(1);
                thread::sleep(SAMPLE_INTERVAL);
            }
        });
        let _stop = Stop(&peak);
        work(&peak)
    })
}

/// Stops the sampling, even if the work panics.
struct Stop<'a>(&'a Peak);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Relaxed);
    }
}

/// The largest memory seen since it was last taken, KiB.
pub(super) struct Peak {
    own: AtomicU64,
    all: AtomicU64,
    done: AtomicBool,
}

impl Peak {
    fn sample_own(&self) {
        if let Some(now) = resident_kibibytes() {
            self.own.fetch_max(now, Ordering::Relaxed);
        }
    }

    fn sample_all(&self) {
        self.all.fetch_max(tree_kibibytes(std::process::id()), Ordering::Relaxed);
    }

    /// The peak of this process in MiB; resets it.
    pub(super) fn take_own(&self) -> f64 {
        self.sample_own();
        mebibytes(self.own.swap(0, Ordering::Relaxed))
    }

    /// The peak of this process and its descendants in MiB; resets it.
    pub(super) fn take_all(&self) -> f64 {
        self.sample_all();
        mebibytes(self.all.swap(0, Ordering::Relaxed))
    }
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes of memory stay far below 2^52")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// `VmRSS` of `proc_pid_status(5)`.
fn resident_kibibytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The resident memory of a process and all its descendants.
fn tree_kibibytes(root: u32) -> u64 {
    let mut children: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    let mut sum = 0;
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Some((parent, pages)) = parent_and_pages(&process.path().join("stat")) else { continue };
        if id == root {
            sum += pages;
        }
        children.entry(parent).or_default().push((id, pages));
    }
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        for (child, pages) in children.remove(&id).unwrap_or_default() {
            sum += pages;
            waiting.push(child);
        }
    }
    sum * rustix::param::page_size() as u64 / 1024
}

/// The 4th and the 24th field of `proc_pid_stat(5)`; the second one is a name in parentheses that may contain any
/// characters.
fn parent_and_pages(stat: &std::path::Path) -> Option<(u32, u64)> {
    let text = fs::read_to_string(stat).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let pages = fields.nth(24 - 5)?.parse().ok()?;
    Some((parent, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_allocation_is_measured_and_released() {
        with_peak(|peak| {
            let before = peak.take_own();
            let block = vec![1_u8; 64 << 20];
            peak.sample_own();
            drop(std::hint::black_box(block));
            assert!(peak.take_own() >= before + 60.0);
            assert!(peak.take_own() < before + 30.0);
        });
    }

    #[test]
    fn memory_of_descendants_is_included() {
        // A child of a shell keeps 32 MiB of text in a variable until its input ends.
        let child = r#"text=$(head -c 33554432 /dev/zero | tr "\0" x); echo full; read -r line"#;
        let script = format!("sh -c '{child}'; true");
        let mut shell = rave_process::Cmd::new("sh").args(["-c", &script]).stdin_piped().spawn().unwrap();
        let input = shell.take_stdin();
        let late = std::time::Instant::now() + Duration::from_secs(60);
        while shell.tail() != ["full"] {
            assert!(std::time::Instant::now() < late, "{:?}", shell.tail());
            thread::sleep(SAMPLE_INTERVAL);
        }
        let sum = tree_kibibytes(shell.pid());
        drop(input);
        shell.wait_timeout(Duration::from_secs(60)).unwrap();
        assert!((32 << 10..128 << 10).contains(&sum), "{sum} KiB");
    }
}
