//! The content of a file, and where it is kept.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is stored.
    #[serde(flatten)]
    pub place: BlobPlace,
}

/// Where a content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPlace {
    /// The number of the pack file.
    pub pack: u32,
    /// Its offset there.
    pub offset: u64,
}
