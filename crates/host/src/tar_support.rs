//! Whether mke2fs accepts a tar: its build must support it, and libarchive must be available at run time.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

/// The end of a tar, which is also an empty one: two records of 512 zero bytes (POSIX.1-2017 pax, "ustar Interchange
/// Format").
const EMPTY_TAR: [u8; 1024] = [0; 1024];

/// Larger than the smallest filesystem that mke2fs makes without a warning.
const DISK_BYTES: u64 = 1 << 20;

/// Fails with the reason why not.
pub(crate) fn prove(mke2fs: &Utf8Path) -> Result<(), String> {
    let folder =
        tempfile::tempdir().map_err(|error| format!("no temporary folder could be made: {error}"))?;
    let folder = Utf8PathBuf::from_path_buf(folder.path().to_owned())
        .map_err(|path| format!("the temporary folder {} is not valid UTF-8", path.display()))?;
    let (tar, disk) = (folder.join("empty.tar"), folder.join("disk"));
    let prepare = || -> io::Result<()> {
        fs::write(&tar, EMPTY_TAR)?;
        fs::File::create(&disk)?.set_len(DISK_BYTES)
    };
    prepare().map_err(|error| format!("the temporary folder cannot be written: {error}"))?;
    let command =
        Cmd::new(mke2fs.as_str()).args(["-q", "-F", "-t", "ext4", "-d", tar.as_str(), disk.as_str()]);
    command.env("LC_ALL", "C").output().map(|_| ()).map_err(|error| {
        error
            .tail()
            .iter()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map_or_else(|| error.to_string(), Clone::clone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tar_that_refuses_an_option_is_detected() {
        assert!(prove(Utf8Path::new("/bin/false")).is_err());
    }
}
