//! Errors of a record.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process is writing the record.
    #[error("another process is writing {path}")]
    Busy {
        /// The record.
        path: Utf8PathBuf,
    },
    /// The file was removed while it was open.
    #[error("{path} was removed while it was being written")]
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
