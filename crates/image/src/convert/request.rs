//! What to convert, and into what.

use camino::Utf8Path;
use rave_spec::{Compress, Format};

use crate::foreign::Links;
use crate::formats::Appliance;

/// What to convert.
#[derive(Debug, Clone)]
pub struct ConvertRequest<'a> {
    /// The file with the disk: raw, an image that QEMU reads, an OVA, or one of these compressed.
    pub file: &'a Utf8Path,
    /// What to do if a qcow2 refers to other files.
    pub links: Links,
    /// Whether to treat an unrecognised file as a raw disk.
    pub is_raw: bool,
    /// The target formats, at least one, from [`crate::formats::CONVERTIBLE`].
    pub formats: &'a [Format],
    /// Where the files go; they are named after the disk.
    pub out_dir: &'a Utf8Path,
    /// Where intermediate files shared by formats are kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// The machine described by the formats' descriptors; it is named after the disk.
    pub appliance: Appliance,
    /// The compression of the results.
    pub compress: Compress,
    /// The virtual size of the disk, bytes, if it is larger than the source.
    pub grown_to: Option<u64>,
    /// Timestamp of packed files, seconds since 1970.
    pub epoch: u64,
}
