//! rave-image: from the specification to disks in every format, with a manifest.
//!
//! The flow is one way: [`build::BuildRequest`] -> root file system and tools -> one raw [`disk::RawDisk`] ->
//! [`formats`] -> [`manifest::Manifest`]. Each stage's result is kept in a [`stage_cache::StageCache`] under the digest
//! of its inputs, so that a change only rebuilds what depends on it.

pub mod artifact;
pub mod bases;
pub mod build;
pub mod certificates;
pub mod closure;
pub mod compare;
pub mod content;
pub mod convert;
pub mod digest;
pub mod disk;
pub mod disk_image;
mod error;
pub mod foreign;
pub mod formats;
pub mod fuzzing;
pub mod guest_program;
pub mod inputs;
pub mod inside;
pub mod inspect;
pub mod iso_image;
pub mod licences;
pub mod manifest;
pub mod manifest_diff;
pub mod npm_tools;
mod preflight;
pub mod space;
pub mod stage_cache;
mod stage_runner;
pub mod tempdir;
mod tool;
pub mod tool_versions;
pub mod tree;
pub mod verify;

pub use build::{BuildOptions, BuildRequest, BuildResult, build};
pub use error::{Error, Limit};
pub use manifest::Manifest;
