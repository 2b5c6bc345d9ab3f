//! What artifacts are made of, apart from the disk's content.

use rave_spec::Compress;

use super::ovf::vbox::NatForward;
use crate::digest::Digest;

/// The machine that a descriptor describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// Its name.
    pub name: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Whether there is a desktop to draw.
    pub desktop: bool,
    /// The services that the host reaches, where the hypervisor's own NAT is described.
    pub forwards: Vec<NatForward>,
}

/// What artifacts are made of, apart from the disk's content.
#[derive(Debug, Clone)]
pub struct ExportSpec {
    /// What the files are called, without extension.
    pub stem: String,
    /// The disk's size as the guest sees it, bytes; not smaller than the source.
    pub size: u64,
    /// The machine around it.
    pub appliance: Appliance,
    /// How the artifacts are compressed of which one can choose.
    pub compress: Compress,
    /// What identifiers follow from: the key or the digest of the disk.
    pub identity: Digest,
    /// Time stamp of what is packed, seconds since 1970.
    pub epoch: u64,
}
