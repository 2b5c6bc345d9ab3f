//! What stays allowed, as a value that one process writes and another enters.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::offer::Offer;

/// Which parts are applied, and the paths that stay accessible. Missing paths are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Remove access to the network.
    pub network: bool,
    /// Remove access to all paths except those below.
    pub files: bool,
    /// Filter system calls.
    pub calls: bool,
    /// Files and folders that may be read.
    pub read: Vec<Utf8PathBuf>,
    /// The same, and programs in them may be executed.
    pub execute: Vec<Utf8PathBuf>,
    /// Files and devices that may be written; they already exist.
    pub write: Vec<Utf8PathBuf>,
    /// Folders in which Unix sockets may be created and names removed, but nothing else.
    pub sockets: Vec<Utf8PathBuf>,
}

impl Rules {
    /// Applies every part that the host supports, and leaves no path accessible yet.
    pub fn all_of(offer: &Offer) -> Self {
        Self {
            network: offer.network.is_given(),
            files: offer.files.is_given(),
            calls: offer.calls.is_given(),
            ..Self::default()
        }
    }
}
