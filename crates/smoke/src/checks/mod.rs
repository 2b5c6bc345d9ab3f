//! The checks, one file per group.

pub(crate) mod desktop;
pub(crate) mod features;
pub(crate) mod life;
pub(crate) mod login;
pub(crate) mod system;
pub(crate) mod tools;
pub(crate) mod web;
