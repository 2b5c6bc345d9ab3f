//! What to convert, and into what.

use camino::Utf8Path;
use rave_spec::{Compress, Format};

use crate::foreign::Links;
use crate::formats::Appliance;

/// What to convert.
#[derive(Debug, Clone)]
pub struct ConvertRequest<'a> {
    /// What holds the disk: raw, an image that QEMU reads, an OVA, or one of these compressed.
    pub file: &'a Utf8Path,
    /// What to do where a qcow2 names other files.
    pub links: Links,
    /// Whether a file that is none of these is a raw disk.
    pub is_raw: bool,
    /// Into what, at least one, of [`crate::formats::CONVERTIBLE`].
    pub formats: &'a [Format],
    /// Where the files go; they are named after the disk.
    pub out_dir: &'a Utf8Path,
    /// Where what two formats share is kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// The machine that descriptors describe; it is named after the disk.
    pub appliance: Appliance,
    /// How the results are compressed.
    pub compress: Compress,
    /// The disk's size as the guest sees it, bytes, where it is larger than the source.
    pub grown_to: Option<u64>,
    /// Time stamp of what is packed, seconds since 1970.
    pub epoch: u64,
}
