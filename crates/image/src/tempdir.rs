//! Temporary folders that a killed command does not leave behind forever.

mod locked;
mod scratch;

pub use locked::{LockedTempDir, place};
pub use scratch::{ScratchDir, sweep};
