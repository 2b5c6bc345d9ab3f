//! How far a guest has come, from what it leaves on its way: the firmware's log, the serial console, the readiness port.
//!
//! [`evidence`] is pure: bytes and times in, a [`Stage`] and a [`Timeline`] out. [`watch`] reads the files.

pub mod evidence;
mod failure;
mod stage;
mod text;
mod timeline;
pub(crate) mod watch;

pub use evidence::Evidence;
pub use failure::{BootFailure, Cause};
pub use stage::Stage;
pub use timeline::Timeline;
