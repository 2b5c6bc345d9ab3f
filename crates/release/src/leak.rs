//! The leak gate: no secret and no name of its builder is in what is released. It looks inside the artifacts as they are
//! shipped: at every file of every file system, and at every byte of the disk and of the container around it, so that
//! what was deleted counts too. What it finds it names by rule and place, never by its content.

mod allowed;
mod cpio;
pub(crate) mod finding;
mod gate;
mod names;
mod packed;
mod paths;
mod scanner;
mod secrets;

pub use allowed::{Allowed, AllowedEntry};
pub use finding::{Finding, Place, Rule};
pub(crate) use gate::look_into;
pub use gate::{Gate, Report, STAGE, gate};
pub use names::BuilderNames;
