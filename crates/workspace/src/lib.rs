//! The workspace of a sandbox: copies a folder of the host into a guest, and the guest's changes back.
//!
//! - [`select`], [`secrets`]: which files are copied.
//! - [`push`], [`pull`]: both directions, through programs of a [`Guest`].
//! - [`record`], [`blobs`]: the host's record of what was pushed and pulled.
//! - [`quarantine`], [`names`]: what is held back, and what is refused.
//!
//! Whatever a guest sends is data: none of it is run, no git command runs inside it, and files are only written below
//! the folder that was pushed. Nothing here prints.

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
