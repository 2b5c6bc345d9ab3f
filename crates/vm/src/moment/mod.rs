//! A machine at one moment: its disk, and if it was running, its memory and devices. It can resume from there, and so
//! can its forks (docs/adr/015-forks.md).
//!
//! - [`Moment`]: the files, in a folder of their own or in a sandbox's.
//! - [`Freezing`]: pauses a running machine for a moment and saves it.
//! - [`crate::standalone::Standalone::resume`]: resumes from a moment.

mod blocks;
mod files;
mod freeze;
mod mapping;
mod pages;
mod shape;
mod switch;

pub use files::{Moment, Saved};
pub use freeze::{Freezing, Frozen};
