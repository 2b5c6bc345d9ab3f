//! rave-release: turns images into a folder that can be published, and verifies such folders.
//!
//! [`cut`] makes it: [`sums`], [`manifest`], [`sbom`], [`statement`], signatures by [`key`] in the forms [`sshsig`] and
//! [`dsse`], [`notes`]. [`verify`] checks it for its receivers, with the keys of [`signers`] and [`trust`]. Every byte
//! that it reads is untrusted. [`publish`] copies a verified release into a published tree.

pub mod changelog;
pub mod cut;
pub mod dsse;
mod error;
pub mod folder;
pub mod fuzzing;
pub mod inputs;
pub mod key;
pub mod key_statement;
pub mod leak;
mod lock;
pub mod manifest;
pub mod names;
pub mod notes;
pub mod parts;
pub mod patch;
pub mod public_key;
pub mod publish;
pub mod rebuild;
pub mod relative_path;
pub mod sbom;
pub mod signers;
pub mod sshsig;
pub mod statement;
pub mod strict_json;
pub mod sums;
pub mod trust;
pub mod verify;

pub use error::Error;
pub use relative_path::RelativePath;
