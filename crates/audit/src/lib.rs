//! The record of a sandbox: what it did and what was done with it, one line of JSON each, written outside of its guest.
//!
//! - [`Event`]: what is recorded. No secret and no body is part of one.
//! - [`Recorder`]: folds what happens into at most [`LINES_A_SECOND`] lines a second, and writes them in a thread of its own.
//! - [`Writer`]: appends lines, one writer at a time, and goes on where a killed one ended.
//! - [`verify`]: whether the lines are those that were written.
//! - [`Reader`]: reads them, also while they are written.
//!
//! Each line carries the SHA-256 of the line before and of its own bytes; how many lines there are, and the last hash, are kept in a second
//! file. So an edit, a removal, another order and an end that was cut are found. Whoever may write both files may write another record:
//! the user's own account may. Nothing here prints.

mod error;
mod event;
mod files;
mod fold;
mod head;
mod line;
mod reader;
mod recorder;
mod verify;
mod writer;

pub use error::Error;
pub use event::{Event, Way};
pub use files::{Files, Kept, kept};
pub use fold::LINES_A_SECOND;
pub use line::Entry;
pub use reader::Reader;
pub use recorder::Recorder;
pub use verify::{Verdict, verify};
pub use writer::{GUEST_LIMIT, LIMIT, Writer};
