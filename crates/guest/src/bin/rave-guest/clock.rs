//! The system's clock.

use crate::error::Error;
use crate::files::failed;
use rave_guest::channel::clock::{Clock, ClockSet};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::time::{SystemTime, UNIX_EPOCH};

/// `CLOCK_REALTIME`.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn set(&mut self, time_ms: u64) -> Result<ClockSet, String> {
        let behind_ms = set(time_ms).map_err(|error| error.to_string())?;
        println!("the clock was {behind_ms} ms behind the host's, and was set");
        Ok(ClockSet { behind_ms, time_ms: now_ms() })
    }
}

/// The current time, in ms since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Sets the clock. Returns how far it was behind, in ms.
pub(crate) fn set(time_ms: u64) -> Result<i64, Error> {
    let before = now_ms();
    // 64 bits of milliseconds fit in 63 bits of seconds.
    let seconds = i64::try_from(time_ms / 1000).unwrap_or(i64::MAX);
    let nanoseconds = i64::try_from(time_ms % 1000 * 1_000_000).unwrap_or_default();
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: nanoseconds })
        .map_err(|error| failed("set", "the clock")(error.into()))?;
    Ok(i64::try_from(time_ms).unwrap_or(i64::MAX).saturating_sub_unsigned(before))
}
