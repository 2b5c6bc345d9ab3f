//! A machine at one moment: its disk, and its memory and devices where it ran. It goes on from there, and so do its forks
//! (docs/adr/015-forks.md).
//!
//! - [`Moment`]: the files, in a folder of their own or in a sandbox's.
//! - [`Freezing`]: a machine that runs is stopped for a moment and saved.
//! - [`crate::standalone::Standalone::resume`]: one goes on.

mod blocks;
mod files;
mod freeze;
mod mapping;
mod pages;
mod shape;
mod switch;

pub use files::{Moment, Saved};
pub use freeze::{Freezing, Frozen};
