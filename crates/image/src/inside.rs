//! The content of an artifact of any format: its disk as a plain file, and every file of the disk's file systems. Used
//! for searches, so an artifact that cannot be read completely is an error.

mod artifact;
mod disk;
#[cfg(test)]
mod tests;

pub use crate::content::ext4::{Visit, Visited};
pub use artifact::{Opened, Sibling, open};
pub use disk::{FileSystem, Kind, files};
