//! The disk that artifacts are made from.

use camino::{Utf8Path, Utf8PathBuf};

/// A raw disk to make artifacts from.
#[derive(Debug, Clone)]
pub struct SourceDisk {
    /// Its absolute path.
    pub path: Utf8PathBuf,
}

impl SourceDisk {
    /// A disk without a path, for command lines that are only hashed.
    pub(super) fn nowhere() -> Self {
        Self { path: Utf8PathBuf::new() }
    }

    /// The command line that writes its bytes to `target`, with holes where there are zeros.
    pub(super) fn raw_copy_argv(&self, target: &Utf8Path) -> Vec<String> {
        ["qemu-img", "convert", "-f", "raw", "-O", "raw", self.path.as_str(), target.as_str()]
            .map(String::from)
            .into()
    }
}
