//! Tests with real processes: the crate's promises, checked from outside.

mod bounds;
mod child;
mod helper;
mod interrupt;
mod lock;
mod parent;
mod run;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Polls `probe` until it returns a value; fails after a minute, since the host may be busy.
fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process with this id is running; a zombie is not.
fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else {
        return false;
    };
    // proc_pid_stat(5): the state follows the name, which is in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn wait_gone(pid: u32) {
    wait_for(&format!("process {pid} is gone"), || (!runs(pid)).then_some(()));
}
