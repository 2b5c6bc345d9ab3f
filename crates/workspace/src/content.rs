//! The content of a file, and where it is kept.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What it is.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Where it is kept.
    #[serde(flatten)]
    pub place: BlobPlace,
}

/// Where a content is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPlace {
    /// The number of the file.
    pub pack: u32,
    /// Its first byte there.
    pub offset: u64,
}
