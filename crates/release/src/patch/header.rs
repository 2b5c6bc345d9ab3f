//! What a patch says of itself.

use rave_image::digest::Digest;
use rave_spec::Format;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::dense::BLOCK;
use crate::relative_path::RelativePath;
use crate::strict_json;

/// The most bytes of a header.
pub(super) const LIMIT: u64 = 64 << 10;

/// The version of the JSON's shape.
const SCHEMA: u32 = 1;

/// The longest that a chunk, and its reach, may be, bytes: they are held in memory.
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
    /// What the newer disk is called, raw.
    pub name: RelativePath,
    /// Bytes of a chunk: a multiple of 4096.
    pub chunk: u64,
    /// Bytes in front of and behind a chunk's place that count for its prefix: a multiple of 4096.
    pub reach: u64,
    /// Formats that follow from the newer disk, byte by byte.
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

/// A format that a program makes of the newer disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// It.
    pub format: Format,
    /// What its file is called.
    pub name: RelativePath,
    /// The disk's size as a guest sees it, bytes.
    pub disk: u64,
    /// Its SHA-256, which this version of the program gave.
    pub sha256: Digest,
    /// The program.
    pub tool: String,
    /// The version, as the program prints it.
    pub version: String,
}

impl Header {
    /// Reads the header's bytes, and refuses what no patch says.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let header: Self = strict_json::parse(bytes, LIMIT)?;
        header.check()?;
        Ok(header)
    }

    /// Refuses what no patch says.
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

    /// Of the profile, the name of the newer raw disk, both disks, and what follows from the newer one.
    pub(crate) fn new(
        (profile, name): (String, RelativePath),
        (base, target): (DiskOf, DiskOf),
        conversions: Vec<Conversion>,
    ) -> Self {
        let (chunk, reach) = (super::CHUNK, super::REACH);
        Self { schema: SCHEMA, profile, base, target, name, chunk, reach, conversions }
    }

    /// How many chunks the newer disk has.
    pub(super) fn chunks(&self) -> u64 {
        self.target.size.div_ceil(self.chunk)
    }

    /// Where a chunk lies, and how long it is.
    pub(super) fn place(&self, number: u64) -> (u64, u64) {
        let start = number * self.chunk;
        (start, self.chunk.min(self.target.size - start))
    }

    /// What of the older disk the prefix of a chunk is made of: start and length.
    pub(super) fn prefix(&self, number: u64) -> (u64, u64) {
        let (start, length) = self.place(number);
        let from = start.saturating_sub(self.reach).min(self.base.size);
        let to = (start + length + self.reach).min(self.base.size);
        (from, to - from)
    }
}
