//! rave-image: from the specification to disks in every format, with a manifest.
//!
//! The flow is one way: [`build::Request`] -> root file system and tools -> one raw [`disk::Disk`] ->
//! [`formats`] -> [`manifest::Manifest`]. Each stage's result is kept in a [`store::Store`] under the digest
//! of its inputs, so that a change redoes only what it touches.

pub mod artifact;
pub mod bases;
pub mod build;
pub mod compare;
pub mod content;
pub mod convert;
pub mod digest;
pub mod disk;
mod error;
pub mod formats;
pub mod guest_program;
pub mod hostile;
pub mod inspect;
pub mod locked;
pub mod manifest;
mod room;
pub mod scratch;
pub mod sound;
mod stages;
pub mod store;
pub mod temporary;
pub mod tools;
pub mod tree;
pub mod versions;

pub use build::{Built, Request, build};
pub use error::{Error, Limit};
pub use manifest::Manifest;
