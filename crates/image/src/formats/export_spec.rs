//! The inputs of artifacts, apart from the disk's content.

use rave_spec::Compress;

use super::ovf::vbox::NatForward;
use crate::digest::Digest;

/// The machine described by a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// Its name.
    pub name: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Whether the guest has a desktop.
    pub desktop: bool,
    /// The services forwarded to the host, for descriptors that configure the hypervisor's NAT.
    pub forwards: Vec<NatForward>,
}

/// What artifacts are made of, apart from the disk's content.
#[derive(Debug, Clone)]
pub struct ExportSpec {
    /// The base name of the files, without extension.
    pub stem: String,
    /// The virtual size of the disk, bytes; not smaller than the source.
    pub size: u64,
    /// The machine around it.
    pub appliance: Appliance,
    /// The compression of formats that support a choice.
    pub compress: Compress,
    /// The basis of identifiers: the key or the digest of the disk.
    pub identity: Digest,
    /// Timestamp of packed files, seconds since 1970.
    pub epoch: u64,
}
