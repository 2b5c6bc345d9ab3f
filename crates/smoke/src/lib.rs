//! rave-smoke: the contract of every base, as named checks of a running guest.
//!
//! [`registry`] lists the checks, [`suite`] runs them on a [`Guest`] and returns a [`report::Report`]. A check that
//! failed is distinguished from one that could not run. Nothing here prints.

mod checks;
mod disk_state;
mod guest;
mod http;
pub mod isolation;
pub mod matrix;
mod poll;
pub mod registry;
pub mod report;
pub mod screen;
pub mod serial;
mod side_by_side;
pub mod suite;

pub use guest::{Expected, Guest, TimeLimits};
pub use side_by_side::side_by_side;
