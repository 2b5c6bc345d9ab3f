//! How far a guest has booted, from what it leaves behind: the firmware's log, the serial console, the readiness port.
//!
//! [`stage_detector`] is pure: bytes and times in, a [`BootStage`] and a [`Timeline`] out. [`watch`] reads the files.

mod failure;
mod stage;
pub mod stage_detector;
mod text;
mod timeline;
pub(crate) mod watch;

pub use failure::{BootFailure, Cause};
pub use stage::BootStage;
pub use stage_detector::StageDetector;
pub use timeline::Timeline;
