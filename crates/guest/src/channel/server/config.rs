//! The server's configuration.

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
    /// Handles [`Request::Provide`](crate::channel::message::Request::Provide).
    pub provide: fn(&Provision) -> Result<(), String>,
    /// The largest number of programs at the same time, such as [`MAX_JOBS`](crate::channel::MAX_JOBS).
    pub jobs: usize,
    /// The file for the network's denials, such as [`PATH`](crate::channel::denied::PATH).
    pub denied: PathBuf,
}

impl Config {
    /// A server that only starts programs: without control groups, and without a file for denials.
    pub fn new(program: impl Into<PathBuf>, user: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            user: user.into(),
            cgroups: false,
            provide: |_| Ok(()),
            jobs: MAX_JOBS,
            // Below a file, so that nothing can be written.
            denied: "/dev/null/denied".into(),
        }
    }
}
