//! The files of a firmware.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// A build of the firmware: code that is mapped read-only, and a template of the variables that each machine copies.
///
/// The two belong together: a 2 MiB build rejects the variables of a 4 MiB build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UefiFiles {
    /// The code.
    pub code: Utf8PathBuf,
    /// The empty variables.
    pub vars: Utf8PathBuf,
}
