//! A Nix closure as a root file system: the store's paths, the store's database, and what NixOS needs for its first
//! boot.

mod database;
pub mod nar;
pub mod registration;
pub mod store_path;
pub(crate) mod tree;
pub(crate) mod verify;

pub use database::SCHEMA;
