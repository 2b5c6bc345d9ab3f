//! What the host needs, whether it is there, and how to get it.
//!
//! [`requirement`], [`requirements`] and [`repos`] are data and pure functions; [`rows`] looks at the host; [`plan`] turns what is
//! missing into commands; [`install`] runs them.

mod disk_space;
mod ensure;
mod for_tests;
mod install;
mod memo;
mod nix;
mod package_manager;
mod plan;
mod privileges;
mod programs_only;
mod repos;
mod requirement;
mod requirements;
mod rows;
mod tar_support;
mod version;

pub use ensure::{Needs, ensure, resolve};
pub use nix::rows as nix;
pub use requirement::Part;
pub use requirements::BOOT;
pub use rows::{Fix, Row, State, examine};
