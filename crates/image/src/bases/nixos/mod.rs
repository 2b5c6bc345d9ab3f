//! The NixOS base: drives `nix build` of the checkout's flake.
//!
//! What is built and how is the flake's matter (`nix/`). Here is what is asked of `nix` ([`argv`]), what it says while it
//! works ([`events`], [`progress`]), what it failed of ([`error`]), and where its results go ([`build`]).

pub mod argv;
pub mod build;
mod build_failure;
pub mod error;
pub mod events;
mod gc_roots;
pub mod installation;
mod output_links;
mod progress;
mod responses;
mod text;
mod transcript;
pub mod version;

pub use build::{FlakeBuild, build, is_current};
pub use error::Error;
