//! What can go wrong with a record.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes.
    #[error("another process writes {path}")]
    Busy {
        /// The record.
        path: Utf8PathBuf,
    },
    /// Somebody took the file away.
    #[error("{path} was removed while it was written")]
    Gone {
        /// The record.
        path: Utf8PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Utf8Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }
}
