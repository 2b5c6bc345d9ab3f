//! The disk itself, sparse, for `dd` to a disk or a USB stick.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::panic::resume_unwind;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::interrupt;
use rave_spec::{Compression, Format};

use super::definition::{ExportResult, FormatDef, Make, OutputFile, SizeEstimate, add_arguments};
use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use super::source_disk::SourceDisk;
use super::sparse::next_data;
use super::zst;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};

/// The format.
pub(crate) const FORMAT: FormatDef = FormatDef {
    format: Format::Raw,
    files: |compress| match compress.raw {
        Compression::Zstd => &[
            OutputFile { ending: ".img", size: SizeEstimate::WholeDisk },
            OutputFile { ending: ".img.zst", size: SizeEstimate::CompressedData },
        ],
        _ => &[OutputFile { ending: ".img", size: SizeEstimate::WholeDisk }],
    },
    order: 3,
    add_to_key,
    make: Make::OfAnyDisk(make),
};

fn add_to_key(spec: &ExportSpec, hasher: &mut Hasher) {
    add_arguments(hasher, &commands(&SourceDisk::nowhere(), "".into()));
    if spec.compress.raw == Compression::Zstd {
        add_arguments(hasher, &[zst::argv(0)]);
        hasher.field("zeros", &zst::LONG_RUN.to_le_bytes());
    }
}

/// The disk itself, and a compressed copy if requested. The source is hashed while it is copied.
fn make(exporter: &Exporter<'_>, files: &[Utf8PathBuf]) -> ExportResult {
    let (source, stages, target) = (&exporter.source, exporter.stages, &files[0]);
    let sha256 = thread::scope(|scope| {
        let digest = scope.spawn(|| digest(&source.path));
        let copied = stages.run_all(FORMAT.format.as_str(), &commands(source, target));
        copied.and(digest.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    if let Some(packed) = files.get(1) {
        zst::compress(target, packed, &stages.log(zst::STAGE))?;
    }
    Ok(Some(sha256))
}

/// A copy that keeps holes; changes that a user makes to the artifact do not affect the stage's disk.
pub(super) fn commands(source: &SourceDisk, target: &Utf8Path) -> Vec<Vec<String>> {
    vec![source.raw_copy_argv(target)]
}

/// The digest of a raw disk. Holes are not read, and Ctrl-C interrupts it.
fn digest(disk: &Utf8Path) -> Result<Digest, Error> {
    let file = File::open(disk).at("open", disk)?;
    let length = file.metadata().at("read", disk)?.len();
    let digest = Digest::of_reader(Sparse { file, length, at: 0, data_from: 0 });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    digest.at("read", disk)
}

/// Reads a file from start to end; holes are returned as zeros without reading them.
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_digest_covers_every_byte(
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
