//! What a format is: one value, in a file of the format's own.

use camino::Utf8PathBuf;
use rave_spec::{Compress, Format};

use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use crate::digest::{Digest, Hasher};
use crate::disk::RawDisk;
use crate::error::Error;
use crate::preflight::Planned;

/// How much smaller compression makes a guest's files at the best; seen was 2.2.
const BEST_RATIO: u64 = 3;

/// A format.
pub(crate) struct FormatDef {
    /// What it is called.
    pub(crate) format: Format,
    /// Its files; the first is the one that boots.
    pub(crate) files: fn(Compress) -> &'static [OutputFile],
    /// Its turn where several are made: the longest work is begun first, and what then waits for its result last.
    pub(crate) order: u8,
    /// Adds what the artifact depends on beside the disk: command lines and descriptors.
    pub(crate) add_to_key: fn(&ExportSpec, &mut Hasher),
    /// Writes its files.
    pub(crate) make: Make,
}

/// A file of an artifact.
pub(crate) struct OutputFile {
    /// What follows the stem in its name.
    pub(crate) ending: &'static str,
    /// How large it becomes.
    pub(crate) size: SizeEstimate,
}

/// How large a file becomes at least.
#[derive(Clone, Copy)]
pub(crate) enum SizeEstimate {
    /// As long as the disk, with its holes.
    WholeDisk,
    /// What the disk holds without its holes.
    Data,
    /// The same, compressed.
    CompressedData,
    /// A text.
    Small,
}

/// The digest of the file that boots, where it was found on the way, so that it need not be read again.
pub(crate) type ExportResult = Result<Option<Digest>, Error>;

/// Writes the files of an artifact, in the order of [`FormatDef::files`].
#[derive(Clone, Copy)]
pub(crate) enum Make {
    /// Of a disk of any origin.
    OfAnyDisk(fn(&Exporter<'_>, &[Utf8PathBuf]) -> ExportResult),
    /// Of one that was built here: its kernel and its programs are needed.
    OfBuiltDisk(fn(&Exporter<'_>, &RawDisk, &[Utf8PathBuf]) -> ExportResult),
}

impl FormatDef {
    /// The names of an artifact's files.
    pub(crate) fn file_names(&self, stem: &str, compress: Compress) -> Vec<String> {
        (self.files)(compress).iter().map(|file| format!("{stem}{}", file.ending)).collect()
    }

    /// What an artifact's files will take at least, of a disk of `size` bytes of which `allocated` are not holes.
    pub(crate) fn planned(&self, spec: &ExportSpec, size: u64, allocated: u64) -> Vec<Planned> {
        let plan = |file: &OutputFile| {
            let (length, allocated) = match file.size {
                SizeEstimate::WholeDisk => (size, allocated),
                SizeEstimate::Data => (allocated, allocated),
                SizeEstimate::CompressedData => (allocated / BEST_RATIO, allocated / BEST_RATIO),
                SizeEstimate::Small => (0, 0),
            };
            Planned { name: format!("{}{}", spec.stem, file.ending), length, allocated }
        };
        (self.files)(spec.compress).iter().map(plan).collect()
    }

    /// Changes when, and only when, the artifact would.
    pub(crate) fn key(&self, spec: &ExportSpec) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field("disk", spec.identity.bytes());
        (self.add_to_key)(spec, &mut hasher);
        hasher.finish()
    }
}

/// Adds every word of some command lines.
pub(super) fn add_arguments(hasher: &mut Hasher, commands: &[Vec<String>]) {
    for argument in commands.iter().flatten() {
        hasher.field("argument", argument.as_bytes());
    }
}

/// Adds a descriptor, as it would be for a file of no bytes, and the time at which it is packed.
pub(super) fn add_descriptor(hasher: &mut Hasher, text: &str, spec: &ExportSpec) {
    hasher.field("descriptor", text.as_bytes());
    hasher.field("epoch", &spec.epoch.to_le_bytes());
}
