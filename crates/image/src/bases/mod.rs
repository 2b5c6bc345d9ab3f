//! A base determines how the guest's files get into a root file system.

pub mod debian;
pub mod nixos;
