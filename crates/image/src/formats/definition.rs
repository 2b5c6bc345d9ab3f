//! The definition of a format: one value, in the format's own file.

use camino::Utf8PathBuf;
use rave_spec::{Compress, Format};

use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use crate::digest::{Digest, Hasher};
use crate::disk::RawDisk;
use crate::error::Error;
use crate::preflight::Planned;

/// The best compression ratio assumed for a guest's files; 2.2 was observed.
const BEST_RATIO: u64 = 3;

/// A format.
pub(crate) struct FormatDef {
    /// Its name.
    pub(crate) format: Format,
    /// Its files; the first is the bootable one.
    pub(crate) files: fn(Compress) -> &'static [OutputFile],
    /// Its position if several are made: the longest work starts first, formats that wait for its result come last.
    pub(crate) order: u8,
    /// Adds the artifact's inputs besides the disk: command lines and descriptors.
    pub(crate) add_to_key: fn(&ExportSpec, &mut Hasher),
    /// Writes its files.
    pub(crate) make: Make,
}

/// A file of an artifact.
pub(crate) struct OutputFile {
    /// The suffix after the stem of its name.
    pub(crate) ending: &'static str,
    /// Its estimated size.
    pub(crate) size: SizeEstimate,
}

/// The minimum size of a file.
#[derive(Clone, Copy)]
pub(crate) enum SizeEstimate {
    /// The size of the disk, with holes.
    WholeDisk,
    /// The disk's data without holes.
    Data,
    /// The same, compressed.
    CompressedData,
    /// A text.
    Small,
}

/// The digest of the bootable file, if it was computed along the way, so that the file need not be read again.
pub(crate) type ExportResult = Result<Option<Digest>, Error>;

/// Writes the files of an artifact, in the order of [`FormatDef::files`].
#[derive(Clone, Copy)]
pub(crate) enum Make {
    /// From a disk of any origin.
    OfAnyDisk(fn(&Exporter<'_>, &[Utf8PathBuf]) -> ExportResult),
    /// Only from a disk that was built here: its kernel and programs are needed.
    OfBuiltDisk(fn(&Exporter<'_>, &RawDisk, &[Utf8PathBuf]) -> ExportResult),
}

impl FormatDef {
    /// The names of an artifact's files.
    pub(crate) fn file_names(&self, stem: &str, compress: Compress) -> Vec<String> {
        (self.files)(compress).iter().map(|file| format!("{stem}{}", file.ending)).collect()
    }

    /// The minimum space for an artifact's files, for a disk of `size` bytes of which `allocated` are not holes.
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

    /// Changes when, and only when, the artifact would change.
    pub(crate) fn key(&self, spec: &ExportSpec) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field("disk", spec.identity.bytes());
        (self.add_to_key)(spec, &mut hasher);
        hasher.finish()
    }
}

/// Adds every argument of command lines.
pub(super) fn add_arguments(hasher: &mut Hasher, commands: &[Vec<String>]) {
    for argument in commands.iter().flatten() {
        hasher.field("argument", argument.as_bytes());
    }
}

/// Adds a descriptor, rendered for an empty file, and the timestamp of packing.
pub(super) fn add_descriptor(hasher: &mut Hasher, text: &str, spec: &ExportSpec) {
    hasher.field("descriptor", text.as_bytes());
    hasher.field("epoch", &spec.epoch.to_le_bytes());
}
