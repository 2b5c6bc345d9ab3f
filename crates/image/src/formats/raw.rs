//! The disk itself, sparse, for `dd` to a disk or a USB stick.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_process::interrupt;

use super::SourceDisk;
use super::sparse::next_data;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// A copy that keeps holes; the stage's own disk stays untouched by what a user does to the artifact.
pub fn commands(source: &SourceDisk, target: &Utf8Path) -> Vec<Vec<String>> {
    let driver = source.driver.as_str();
    let words = ["qemu-img", "convert", "-f", driver, "-O", "raw", source.path.as_str(), target.as_str()];
    vec![words.map(String::from).to_vec()]
}

/// The digest of a raw disk. Holes are not read, and Ctrl-C ends it.
pub(super) fn digest(disk: &Utf8Path) -> Result<Digest, Error> {
    let file = File::open(disk).at("open", disk)?;
    let length = file.metadata().at("read", disk)?.len();
    let digest = Digest::of_reader(Sparse { file, length, at: 0, data_from: 0 });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    digest.at("read", disk)
}

/// A file from its start to its end, its holes as zeros that cost no reading.
struct Sparse {
    file: File,
    length: u64,
    at: u64,
    /// Where the next data is known to start.
    data_from: u64,
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested().is_some() {
            return Err(io::Error::other("interrupted"));
        }
        let left = self.length - self.at;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if self.at >= self.data_from {
            self.data_from = next_data(&self.file, self.at)?;
        }
        let hole = usize::try_from(self.data_from.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let count = if hole > 0 {
            let count = count.min(hole);
            buffer[..count].fill(0);
            count
        } else {
            self.file.read_at(&mut buffer[..count], self.at)?
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_digest_is_that_of_every_byte(
            length in 0_u64..6_000_000,
            pieces in proptest::collection::vec((0_u64..6_000_000, 1_usize..300_000), 0..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = Utf8PathBuf::from_path_buf(folder.path().join("disk")).unwrap();
            let file = File::create(&path).unwrap();
            for (at, count) in pieces {
                file.write_all_at(&vec![7; count], at).unwrap();
            }
            file.set_len(length).unwrap();
            prop_assert_eq!(digest(&path).unwrap(), Digest::of_file(&path).unwrap());
        }
    }
}
