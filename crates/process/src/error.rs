//! Errors of commands.

use std::io;
use std::time::Duration;

use crate::Status;
use crate::interrupt::Signal;

/// Why a command gave no result. Secrets are masked in command lines and tails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such program on PATH or in the system folders.
    #[error(
        "{program}: program not found on PATH, in /usr/local/sbin, /usr/sbin or /sbin\n  install it, or fix PATH"
    )]
    NotFound {
        /// The name that was looked up.
        program: String,
    },
    /// The program exists but could not be started.
    #[error("could not start the command: {source}\n  command: {command}")]
    Spawn {
        /// The command line.
        command: String,
        /// The system's error.
        source: io::Error,
    },
    /// The command ran and failed.
    #[error("the command failed: {status}\n  command: {command}{}", Last(.tail))]
    Failed {
        /// The command line.
        command: String,
        /// Its exit code, or the signal that ended it.
        status: Status,
        /// The last lines it printed.
        tail: Vec<String>,
    },
    /// The command exceeded its time limit and was stopped.
    #[error("the command timed out after {} s\n  command: {command}{}", .after.as_secs_f64(), Last(.tail))]
    TimedOut {
        /// The command line.
        command: String,
        /// The time it was given.
        after: Duration,
        /// The last lines it printed.
        tail: Vec<String>,
    },
    /// The user or the system asked this process to stop.
    #[error("interrupted by {signal}\n  command: {command}")]
    Interrupted {
        /// The command line, or what we were waiting for.
        command: String,
        /// The received signal.
        signal: Signal,
    },
    /// The command printed more than the output limit.
    #[error("the command printed more than {limit} bytes\n  command: {command}")]
    TooMuchOutput {
        /// The command line.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Reading from, writing to or waiting for the command failed on our side.
    #[error("{action}: {source}\n  command: {command}")]
    Io {
        /// What was being done.
        action: String,
        /// The command line.
        command: String,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// The last lines that the command printed; empty if it printed nothing or never ran.
    pub fn tail(&self) -> &[String] {
        match self {
            Self::Failed { tail, .. } | Self::TimedOut { tail, .. } => tail,
            _ => &[],
        }
    }

    /// The command line, or the program's name if it was not found.
    pub fn command(&self) -> &str {
        match self {
            Self::NotFound { program } => program,
            Self::Spawn { command, .. }
            | Self::Failed { command, .. }
            | Self::TimedOut { command, .. }
            | Self::Interrupted { command, .. }
            | Self::TooMuchOutput { command, .. }
            | Self::Io { command, .. } => command,
        }
    }
}

/// The tail as the end of a message.
struct Last<'a>(&'a [String]);

impl std::fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\n  it printed nothing");
        }
        f.write_str("\n  its last lines:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
