//! Sandboxes by name: machines that outlive the command that started them.
//!
//! - [`SandboxName`], [`Store`], [`Record`]: what a sandbox is, in the state folder.
//! - [`state`]: the state of a sandbox, determined from locks and processes and never from a file alone.
//! - [`supervisor`]: the one process that owns a running sandbox.
//! - [`control`], [`Connection`]: messages between commands and supervisors.
//! - [`exec`]: a program in the guest with a command's own streams.
//! - [`limits`], [`admission`]: what all sandboxes together may use, and whether there is space for another.
//! - [`network`]: what a sandbox may reach.
//! - [`audit`]: a record of what it did and what was done with it.
//! - [`secrets`]: the user's secrets that it can use without having them.
//! - [`ssh_agent`]: the key of the user's agent that it may use.
//! - [`fork`], [`snapshot`]: one moment of a sandbox, for others and for itself to resume from.
//! - [`start`], [`Turn`]: starts supervisors, and limits how many start at once.
//!
//! Nothing here prints.

pub mod admission;
mod agent;
pub mod audit;
pub mod control;
mod error;
pub mod exec;
mod file_system;
mod files;
pub mod fork;
mod identity;
mod life_lock;
pub mod limits;
mod name;
pub mod network;
mod place;
mod process_age;
mod record;
mod restore;
pub mod secrets;
pub mod snapshot;
pub mod ssh_agent;
pub mod start;
pub mod state;
mod store;
pub mod supervisor;
mod turn;
mod unix_time;

pub use control::Connection;
pub use error::Error;
pub use identity::Identity;
pub use life_lock::LifeLock;
pub use name::{BadName, SandboxName};
pub use place::Place;
pub use process_age::process_age;
pub use record::{Expiry, Parent, PortChoice, Record, SCHEMA};
pub use restore::Restoring;
pub use store::Store;
pub use turn::Turn;
pub use unix_time::now;
