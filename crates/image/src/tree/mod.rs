//! The guest's file tree: the base's root file system, the tools and RAVE's own files, as one stream of tar.

pub mod accounts;
mod copyright_files;
pub mod merge;
pub mod overlay;
pub mod root_tar;
pub(crate) mod root_tree;
