//! What can go wrong with a fence.

use std::io;

/// Why something could not be taken away.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("could not {action}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Landlock refused the rules.
    #[error("could not restrict paths: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// This kernel has no Landlock, or it is turned off.
    #[error("this kernel has no Landlock")]
    NoLandlock,
    /// The filter of system calls could not be made or loaded.
    #[error("could not filter system calls: {0}")]
    Filter(#[from] seccompiler::Error),
}

impl Error {
    pub(crate) fn system(action: &'static str, error: impl Into<io::Error>) -> Self {
        Self::System { action, source: error.into() }
    }
}

impl From<seccompiler::BackendError> for Error {
    fn from(error: seccompiler::BackendError) -> Self {
        Self::Filter(error.into())
    }
}
