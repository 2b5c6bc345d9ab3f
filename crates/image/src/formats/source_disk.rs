//! The disk that artifacts are made of.

use camino::{Utf8Path, Utf8PathBuf};

/// A disk to make artifacts of.
#[derive(Debug, Clone)]
pub struct SourceDisk {
    /// Its absolute path.
    pub path: Utf8PathBuf,
    /// How it is written.
    pub driver: Driver,
}

/// How a source is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Plain bytes.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// VMware's.
    Vmdk,
}

impl Driver {
    /// What QEMU calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
        }
    }
}

impl SourceDisk {
    /// One of no path: for command lines of which only what they do counts.
    pub(super) fn nowhere() -> Self {
        Self { path: Utf8PathBuf::new(), driver: Driver::Raw }
    }

    /// The command line that writes its bytes to `target`, with holes where there are zeros.
    pub(super) fn raw_copy_argv(&self, target: &Utf8Path) -> Vec<String> {
        let (driver, path) = (self.driver.as_str(), self.path.as_str());
        ["qemu-img", "convert", "-f", driver, "-O", "raw", path, target.as_str()].map(String::from).into()
    }
}
