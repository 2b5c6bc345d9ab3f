//! Stops a sandbox whose time is over, or that is idle.

use std::time::{Duration, Instant};

use rave_vm::ports;

use super::shared::Shared;
use crate::process_age;
use crate::record::Expiry;

/// How often to check.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a guest may then take to power itself off.
pub(super) const GRACE: Duration = Duration::from_secs(100);

/// Tracks the time limits of one running machine.
pub(super) struct Watch {
    expiry: Expiry,
    looked: Option<Instant>,
    /// When it was last seen in use. Time during which the host slept does not count.
    used: Instant,
    last_use: u64,
}

impl Watch {
    pub(super) fn new(expiry: Expiry) -> Self {
        Self { expiry, looked: None, used: Instant::now(), last_use: 0 }
    }

    /// Why the machine is to be stopped now, or `None`.
    pub(super) fn due(&mut self, shared: &Shared) -> Option<String> {
        if self.looked.is_some_and(|at| at.elapsed() < POLL_INTERVAL) {
            return None;
        }
        self.looked = Some(Instant::now());
        let status = shared.status();
        // A booting machine cannot be used yet, so it is not idle.
        if !status.can_exec || ports::in_use(&status.forwards) {
            shared.used();
        }
        if status.running > 0 || status.last_use != self.last_use {
            self.last_use = status.last_use;
            self.used = Instant::now();
        }
        over(self.expiry, process_age(status.qemu), self.used.elapsed())
    }
}

fn over(expiry: Expiry, age: Option<Duration>, idle: Duration) -> Option<String> {
    match (expiry.ttl, expiry.idle) {
        (Some(ttl), _) if age.is_some_and(|age| age.as_secs() >= ttl) => Some(format!("it ran for {ttl} s")),
        (_, Some(limit)) if idle.as_secs() >= limit => Some(format!("it was idle for {limit} s")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_independent_and_none_means_unlimited() {
        let seconds = Duration::from_secs;
        let at = |ttl, idle| {
            over(Expiry { ttl, idle }, Some(seconds(100)), seconds(50)).map(|why| why.split(' ').count())
        };
        assert_eq!(at(None, None), None);
        assert_eq!(at(Some(101), Some(51)), None);
        assert_eq!(at(Some(100), None), Some(5));
        assert_eq!(at(None, Some(50)), Some(6));
        assert_eq!(over(Expiry { ttl: Some(1), idle: None }, None, seconds(9)), None, "its age is unknown");
    }
}
