//! `inputs.json`: the list of the archive's members.

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_image::inputs::{Input, Kind};
use serde::{Deserialize, Serialize};

use crate::relative_path::RelativePath;
use crate::strict_json;

/// The first member.
pub const INDEX: &str = "inputs.json";

/// Maximum size of the index, bytes.
pub(super) const LIMIT: u64 = 8 << 20;

/// The schema version.
const SCHEMA: u32 = 1;

/// Maximum size of a member, bytes: larger than any package.
const LONGEST: u64 = 4 << 30;

/// The longest path of a member, bytes: the limit of a tar header (POSIX.1-1988, `name`).
const LONGEST_PATH: usize = 100;

/// The index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Always 1.
    pub schema: u32,
    /// The other members, sorted by path.
    pub inputs: Vec<Entry>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its path.
    pub path: RelativePath,
    /// Its kind.
    pub kind: Kind,
    /// Its name in its archive or registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its Subresource Integrity string; only for npm packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Entry {
    /// The member as an input, unpacked into a folder.
    pub fn input(&self, folder: &Utf8Path) -> Input {
        Input {
            kind: self.kind,
            name: self.name.clone(),
            version: self.version.clone(),
            path: self.path.to_string(),
            integrity: self.integrity.clone(),
            locked: Some(self.sha256),
            file: folder.join(self.path.as_str()),
        }
    }
}

impl Index {
    /// An index of these members, which are sorted.
    pub fn new(inputs: Vec<Entry>) -> Self {
        Self { schema: SCHEMA, inputs }
    }

    /// The member's text.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }

    /// Parses the member.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let index: Self = strict_json::parse(bytes, LIMIT)?;
        if index.schema != SCHEMA {
            return Err(format!("its schema is {}, this version reads {SCHEMA}", index.schema));
        }
        if !index.inputs.is_sorted_by(|a, b| a.path < b.path) {
            return Err("its paths are not sorted, or one occurs twice".into());
        }
        for entry in &index.inputs {
            if entry.path.as_str() == INDEX || entry.path.as_str().len() > LONGEST_PATH {
                return Err(format!("{} is not a valid path of a member", entry.path));
            }
            if entry.size > LONGEST {
                return Err(format!("{} has {} bytes, which no input has", entry.path, entry.size));
            }
            // A crate's name becomes a folder's name.
            let plain =
                |text: &str| text.parse::<RelativePath>().is_ok_and(|path| !path.as_str().contains('/'));
            if entry.kind == Kind::Crate && !(plain(&entry.name) && plain(&entry.version)) {
                return Err(format!("the name of {} is not that of a crate", entry.path));
            }
        }
        Ok(index)
    }
}
