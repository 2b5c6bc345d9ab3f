//! The leak gate: a release contains no secret and no name of its builder. It searches the artifacts as they are
//! shipped: every file of every file system, with its name, target and extended attributes, and every byte of the disk
//! and of the container around it, including deleted data. Findings are reported by rule and place, never by content.

mod allowed;
mod attributes;
mod cpio;
pub(crate) mod finding;
mod gate;
mod member;
mod names;
mod packed;
mod paths;
mod scanner;
mod secrets;
mod tar;

pub use allowed::{Allowed, AllowedEntry};
pub use finding::{Finding, Place, Rule};
pub use gate::{Gate, Report, STAGE, gate};
pub(crate) use gate::{search_text, unpack_only};
pub use names::BuilderNames;
