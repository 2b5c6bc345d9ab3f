//! The guest's clock. It stands while the host sleeps or the machine is stopped, and the host sets it afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A clock that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSet {
    /// How far it was behind the host's, ms.
    pub behind_ms: i64,
    /// What it shows now, ms since 1970.
    pub time_ms: u64,
}

/// What sets the clock; an error is told to the host.
pub trait Clock: fmt::Debug + Send {
    /// Sets it to so many ms since 1970.
    fn set(&mut self, time_ms: u64) -> Result<ClockSet, String>;
}
