//! Temporary folders that are cleaned up even after a command was killed.

mod locked;
mod scratch;

pub use locked::{LockedTempDir, place};
pub use scratch::{ScratchDir, sweep};
