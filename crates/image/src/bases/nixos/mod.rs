//! The NixOS base: drives `nix build` of the checkout's flake.
//! What is built, and how, is defined by the flake (`nix/`). These modules contain the command lines ([`argv`]), nix's
//! output while it runs ([`events`], [`progress`]), its failures ([`error`]), and the placement of its results
//! ([`build`]).

pub mod argv;
pub mod build;
mod build_failure;
pub mod error;
pub mod events;
mod gc_roots;
pub mod installation;
mod output_links;
mod packages;
mod progress;
mod responses;
mod text;
mod transcript;
pub mod version;

pub use build::{FlakeBuild, build, check_reproducible, is_current};
pub use error::Error;
