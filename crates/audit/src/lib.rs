//! The record of a sandbox: what it did and what was done to it, as one line of JSON per event, written outside of its
//! guest.
//!
//! - [`Event`]: what is recorded. No event contains a secret or a body.
//! - [`Recorder`]: folds events into at most [`LINES_A_SECOND`] lines per second, and writes them in its own thread.
//! - [`Writer`]: appends lines, one writer at a time, and continues after a writer that was killed.
//! - [`verify`]: checks whether the lines are those that were written.
//! - [`Reader`]: reads them, also while they are being written.
//!
//! Each line has the SHA-256 of the previous line and its own bytes; the number of lines and the last hash are in a
//! second file. So an edit, a removal, a change of order and a truncated end are all detected. An account that may
//! write both files, such as the user's own, can write a different record. Nothing here prints.

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
