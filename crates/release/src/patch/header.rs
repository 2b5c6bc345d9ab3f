//! The header of a patch.

use rave_image::digest::Digest;
use rave_spec::Format;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::dense::BLOCK;
use crate::relative_path::RelativePath;
use crate::strict_json;

/// Maximum size of a header, bytes.
pub(super) const LIMIT: u64 = 64 << 10;

/// The schema version.
const SCHEMA: u32 = 1;

/// The maximum size of a chunk, and of its reach, bytes: they are kept in memory.
const LONGEST: u64 = 256 << 20;

/// The longest disk, bytes.
const LARGEST: u64 = 16 << 40;

/// The header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always 1.
    pub schema: u32,
    /// The profile of both.
    pub profile: String,
    /// The older disk.
    pub base: DiskOf,
    /// The newer one.
    pub target: DiskOf,
    /// The name of the newer raw disk.
    pub name: RelativePath,
    /// Bytes of a chunk: a multiple of 4096.
    pub chunk: u64,
    /// Bytes before and after a chunk's position that are part of its prefix: a multiple of 4096.
    pub reach: u64,
    /// Formats that can be reproduced from the newer disk, byte by byte.
    pub conversions: Vec<Conversion>,
}

/// The raw disk of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskOf {
    /// The release's version.
    pub version: Version,
    /// Bytes: a multiple of 4096.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// A format that a program makes from the newer disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// The format.
    pub format: Format,
    /// The name of its file.
    pub name: RelativePath,
    /// The virtual size of the disk, bytes.
    pub disk: u64,
    /// Its SHA-256, as produced by this version of the program.
    pub sha256: Digest,
    /// The program.
    pub tool: String,
    /// The program's version, as printed by it.
    pub version: String,
}

impl Header {
    /// Parses the header's bytes, and refuses invalid values.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let header: Self = strict_json::parse(bytes, LIMIT)?;
        header.check()?;
        Ok(header)
    }

    /// Refuses invalid values.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("its schema is {}, this version reads {SCHEMA}", self.schema));
        }
        for disk in [&self.base, &self.target] {
            if disk.size == 0 || disk.size > LARGEST || disk.size % BLOCK != 0 {
                return Err(format!("no disk has {} bytes", disk.size));
            }
        }
        for (what, length, least) in [("chunk", self.chunk, BLOCK), ("reach", self.reach, 0)] {
            if length < least || length > LONGEST || length % BLOCK != 0 {
                return Err(format!("its {what} of {length} bytes is not one of a patch"));
            }
        }
        if self.conversions.iter().any(|one| one.disk > LARGEST) {
            return Err("a format has a disk that no guest has".into());
        }
        let names = self.conversions.iter().map(|one| &one.name).chain([&self.name]);
        if let Some(name) = names.clone().find(|name| name.as_str().contains('/')) {
            return Err(format!("{name} is not the name of a file"));
        }
        Ok(())
    }

    /// The header's text.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// Builds it from the profile, the name of the newer raw disk, both disks, and the reproducible formats.
    pub(crate) fn new(
        (profile, name): (String, RelativePath),
        (base, target): (DiskOf, DiskOf),
        conversions: Vec<Conversion>,
    ) -> Self {
        let (chunk, reach) = (super::CHUNK, super::REACH);
        Self { schema: SCHEMA, profile, base, target, name, chunk, reach, conversions }
    }

    /// The number of chunks of the newer disk.
    pub(super) fn chunks(&self) -> u64 {
        self.target.size.div_ceil(self.chunk)
    }

    /// The position and length of a chunk.
    pub(super) fn place(&self, number: u64) -> (u64, u64) {
        let start = number * self.chunk;
        (start, self.chunk.min(self.target.size - start))
    }

    /// The range of the older disk that forms the prefix of a chunk: start and length.
    pub(super) fn prefix(&self, number: u64) -> (u64, u64) {
        let (start, length) = self.place(number);
        let from = start.saturating_sub(self.reach).min(self.base.size);
        let to = (start + length + self.reach).min(self.base.size);
        (from, to - from)
    }
}
