//! Checks of a folder before anything is written to it: free space, the maximum file size, sparse files.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, IoContext as _, Limit};
use crate::space::{free_bytes, process_limit};

/// A file that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) length: u64,
    /// Bytes without its holes.
    pub(crate) allocated: u64,
}

/// `MSDOS_SUPER_MAGIC` of statfs(2): FAT, whose files are limited to 4 GiB - 1 (Microsoft FAT specification 1.03, page
/// 25).
const FAT: rustix::fs::FsWord = 0x4d44;
const LARGEST_ON_FAT: u64 = u32::MAX as u64;

/// Refuses files that together do not fit a folder.
pub(crate) fn require(folder: &Utf8Path, files: &[Planned]) -> Result<(), Error> {
    let probe = Probe::create(folder)?;
    let sparse = probe.is_sparse()?;
    for file in files {
        probe.require_length(&folder.join(&file.name), file.length, sparse)?;
    }
    let needed = files.iter().map(|file| if sparse { file.allocated } else { file.length }).sum();
    let free = free_bytes(folder).at("read the free space of", folder)?;
    if needed > free {
        let (needed_mib, free_mib) = (mib(needed), free >> 20);
        return Err(Error::NoSpace { path: folder.to_owned(), needed_mib, free_mib });
    }
    Ok(())
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// A temporary file that probes the file system.
struct Probe {
    path: Utf8PathBuf,
    file: File,
}

impl Probe {
    /// The name is fixed, so that a leftover of a killed build is reused.
    fn create(folder: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(".rave-probe.partial");
        let file = File::create(&path).at("create", &path)?;
        Ok(Self { path, file })
    }

    /// Whether holes take no space.
    fn is_sparse(&self) -> Result<bool, Error> {
        const LENGTH: u64 = 1 << 20;
        // If the file cannot grow, holes need space or are not supported.
        if self.file.set_len(LENGTH).is_err() {
            return Ok(false);
        }
        let allocated = self.file.metadata().at("read", &self.path)?.blocks() * 512;
        self.file.set_len(0).at("size", &self.path)?;
        Ok(allocated < LENGTH)
    }

    /// Checks that a file may become that long.
    fn require_length(&self, file: &Utf8Path, size: u64, sparse: bool) -> Result<(), Error> {
        let refuse = |by: Limit| Err(Error::TooLarge { path: file.to_owned(), needed_mib: mib(size), by });
        // Checked first: beyond this limit the system would send SIGXFSZ (setrlimit(2)).
        if let Some(most) = process_limit().filter(|most| size > *most) {
            return refuse(Limit::Process { most_mib: most >> 20 });
        }
        let is_fat =
            rustix::fs::fstatfs(&self.file).is_ok_and(|system| system.f_type == FAT && size > LARGEST_ON_FAT);
        if is_fat {
            return refuse(Limit::FileSystem);
        }
        if !sparse {
            // Probing would write the file.
            return Ok(());
        }
        match self.file.set_len(size) {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => refuse(Limit::FileSystem),
            outcome => outcome.at("size", &self.path),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(length: u64, allocated: u64) -> Planned {
        Planned { name: "a.img".into(), length, allocated }
    }

    #[test]
    fn a_successful_preflight_leaves_no_files() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(guard.path()).unwrap();
        require(folder, &[planned(3 << 30, 1 << 20), planned(0, 0)]).unwrap();
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn too_little_space_is_reported_with_both_figures() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(guard.path()).unwrap();
        let free = free_bytes(folder).unwrap();
        let half = planned(1, free / 2 + (1 << 30));
        require(folder, std::slice::from_ref(&half)).unwrap();
        let error = require(folder, &[half.clone(), half]).unwrap_err();
        assert!(matches!(error, Error::NoSpace { needed_mib, .. } if needed_mib > free >> 20), "{error}");
        assert!(error.remedy().unwrap().contains("--out"));
    }

    #[test]
    fn a_file_too_long_for_the_file_system_is_refused_with_a_split_hint() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(guard.path()).unwrap();
        // No file system has files of 2^63 bytes less one.
        let error = require(folder, &[planned(i64::MAX.unsigned_abs(), 0)]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { by: Limit::FileSystem, .. }), "{error}");
        assert!(error.remedy().unwrap().contains("split -b 4095M"), "{error}");
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 0);
    }
}
