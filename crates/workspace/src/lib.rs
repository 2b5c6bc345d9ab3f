//! The workspace of a sandbox: a folder of the host on its way into a guest, and what the guest made of it on its way back.
//!
//! - [`select`], [`secrets`]: which files travel.
//! - [`push`], [`pull`]: the two ways, over programs of a [`Guest`].
//! - [`record`], [`blobs`]: what was pushed and what was pulled, as the host keeps it.
//! - [`quarantine`], [`names`]: what is held back, and what is refused.
//!
//! What comes from a guest is data: nothing of it is run, no git command runs inside it, and nothing is written but below the
//! folder that was pushed. Nothing here prints.

pub mod apply;
pub mod blobs;
pub mod branch;
mod byte_path;
pub mod changes;
pub mod choose;
pub mod content;
pub mod copy;
mod digest;
pub mod entry;
mod error;
pub mod escape;
mod git;
pub mod guest;
pub mod history;
mod host;
pub mod hunks;
mod ignored;
mod merge;
pub mod names;
pub mod patch;
mod pattern;
pub mod pull;
pub mod push;
pub mod quarantine;
pub mod record;
pub mod secrets;
pub mod select;

pub use byte_path::BytePath;
pub use digest::Digest;
pub use error::Error;
pub use guest::Guest;
pub use record::{Place, Record};
