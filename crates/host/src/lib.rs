//! The requirements of the host: whether they are met, and how to install what is missing.
//!
//! [`requirement`], [`requirements`] and [`repos`] are data and pure functions; [`examine`] looks at the host;
//! [`install_plan`] turns what is missing into commands; [`install`] runs them.

mod apt;
mod apt_network;
mod context;
mod disk_space;
mod emulation;
mod ensure;
mod error;
mod examine;
mod for_tests;
mod install;
mod install_plan;
mod installed;
mod needs;
mod nix;
mod package_manager;
mod privileges;
mod probe;
mod report;
mod repos;
mod requirement;
mod requirements;
mod simulation;
mod suppress_services;
mod system;
mod tar_support;
mod version;
mod version_cache;

pub use context::{Consent, Context, Dialog};
pub use ensure::{ensure, resolve};
pub use error::Error;
pub use examine::examine;
pub use needs::Needs;
pub use nix::nix;
pub use report::{Finding, Fix, State};
pub use requirement::Part;
pub use requirements::BOOT;
