//! One raw disk that boots under BIOS and UEFI, made without root, loop device or virtual machine.

pub mod boot_loader;
mod identifiers;
pub mod layout;
mod merged_tree;
mod raw_disk;
pub mod root_filesystem;
mod writer;

pub use boot_loader::GrubFolders;
pub use identifiers::Identifiers;
pub use raw_disk::RawDisk;
pub(crate) use raw_disk::{DiskInputs, key, read_back, require_room};
pub(crate) use writer::DiskWriter;

/// The name of this stage.
pub const STAGE: &str = "disk";

/// The disk's file in the stage.
pub const IMAGE: &str = "disk.raw";
/// The listing of the root file system: [`crate::content::read_listing`].
pub const LISTING: &str = "content.jsonl";
