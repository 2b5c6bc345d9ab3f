//! What the server needs to know of the guest.

use std::path::PathBuf;

use crate::channel::MAX_JOBS;
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

impl Config {
    /// A server that starts programs and does nothing else for the host: without control groups, and with no place for denials.
    pub fn new(program: impl Into<PathBuf>, user: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            user: user.into(),
            cgroups: false,
            provide: |_| Ok(()),
            jobs: MAX_JOBS,
            // Below a file, so that nothing is written.
            denied: "/dev/null/denied".into(),
        }
    }
}
