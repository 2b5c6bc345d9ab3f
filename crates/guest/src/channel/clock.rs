//! The guest's clock. It stops while the host sleeps or the machine is stopped, and the host sets it afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of setting the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSet {
    /// How far it was behind the host's, in ms.
    pub behind_ms: i64,
    /// The current time of the guest, in ms since 1970.
    pub time_ms: u64,
}

/// Sets the clock; an error is reported to the host.
pub trait Clock: fmt::Debug + Send {
    /// Sets it to this time, in ms since 1970.
    fn set(&mut self, time_ms: u64) -> Result<ClockSet, String>;
}
