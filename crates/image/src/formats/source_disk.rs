//! The disk that artifacts are made of.

use camino::{Utf8Path, Utf8PathBuf};

/// A raw disk to make artifacts of.
#[derive(Debug, Clone)]
pub struct SourceDisk {
    /// Its absolute path.
    pub path: Utf8PathBuf,
}

impl SourceDisk {
    /// One of no path: for command lines of which only what they do counts.
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
