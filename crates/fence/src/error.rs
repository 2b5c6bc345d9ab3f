//! Errors of the fence.

use std::io;

/// Why a restriction could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("could not {action}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Landlock refused the rules.
    #[error("could not restrict paths: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// This kernel does not support Landlock, or it is disabled.
    #[error("this kernel does not support Landlock")]
    NoLandlock,
    /// The filter of system calls could not be created or loaded.
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
