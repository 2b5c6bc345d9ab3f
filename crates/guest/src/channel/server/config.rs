//! What the server needs to know of the guest.

use std::path::PathBuf;

use crate::channel::provision::Provision;

/// Set by the program that serves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program `rave-guest` itself.
    pub program: PathBuf,
    /// The user that programs run as unless the host names another.
    pub user: String,
    /// Whether each program gets a control group below the server's own.
    pub cgroups: bool,
    /// Does what [`Request::Provide`](crate::channel::message::Request::Provide) asks for.
    pub provide: fn(&Provision) -> Result<(), String>,
    /// Programs that run at once, such as [`MAX_JOBS`](crate::channel::MAX_JOBS).
    pub jobs: usize,
    /// Where the network's denials are shown, such as [`PATH`](crate::channel::denied::PATH).
    pub denied: PathBuf,
}
