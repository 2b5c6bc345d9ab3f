//! Waits before the barrier until the boot has settled.

use crate::spawn;
use crate::system::{self, Network};
use std::thread;
use std::time::{Duration, Instant};

/// The timeout of the boot. A template that is saved earlier works too; its clones do the rest.
const LIMIT: Duration = Duration::from_secs(120);
/// How long to wait for a network, which may not exist.
const NETWORK: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until systemd runs no other job than the barrier's, and there is an address.
pub(super) fn wait() {
    let started = Instant::now();
    while started.elapsed() < LIMIT && jobs().is_none_or(|jobs| jobs > 1) {
        thread::sleep(PAUSE);
    }
    while started.elapsed() < NETWORK && matches!(system::network(), Network::Down(_)) {
        thread::sleep(PAUSE);
    }
}

/// The number of running jobs, including the barrier's.
fn jobs() -> Option<usize> {
    let text = spawn::output("systemctl", &["list-jobs", "--no-legend"], Duration::from_secs(20)).ok()?;
    Some(running(&text))
}

/// Rows of `systemctl list-jobs`: number, unit, kind, state.
fn running(text: &str) -> usize {
    text.lines().filter(|line| line.split_whitespace().last() == Some("running")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_jobs_count() {
        let text = "  5 rave-barrier.service start running\n 64 basic.target start waiting\n";
        assert_eq!((running(text), running("")), (1, 0));
    }
}
