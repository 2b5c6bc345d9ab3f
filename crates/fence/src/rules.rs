//! What stays allowed, as a value that one process writes and another enters.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::offer::Offer;

/// Which parts are taken away, and the paths that stay. A path that is not there counts as none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Take the network away.
    pub network: bool,
    /// Take all paths away but those below.
    pub files: bool,
    /// Filter system calls.
    pub calls: bool,
    /// Files and trees that may be read.
    pub read: Vec<Utf8PathBuf>,
    /// The same, and programs in them may be started.
    pub execute: Vec<Utf8PathBuf>,
    /// Files and devices that may be written; they already exist.
    pub write: Vec<Utf8PathBuf>,
    /// Folders in which Unix sockets may be made and names be removed, and nothing else.
    pub sockets: Vec<Utf8PathBuf>,
}

impl Rules {
    /// Takes away whatever the host can take, and leaves no path yet.
    pub fn all_of(offer: &Offer) -> Self {
        Self {
            network: offer.network.is_given(),
            files: offer.files.is_given(),
            calls: offer.calls.is_given(),
            ..Self::default()
        }
    }
}
