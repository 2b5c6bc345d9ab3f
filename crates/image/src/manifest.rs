//! `manifest.json`: what lies beside it, from which inputs it was made. `run`, `smoke` and `release` read it
//! instead of searching folders.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::config::GuestConfig;
use rave_spec::{Base, Format};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::tools::NpmPackage;
use crate::tree::root_tar::Package;

/// The file's name.
pub const FILE: &str = "manifest.json";

/// The version of this file's shape; readers refuse a newer one.
pub const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The base that made it.
    pub base: Base,
    /// The profile's name.
    pub profile: String,
    /// Time stamp of the files that the build made, in seconds since 1970: `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: u64,
    /// Digests of the inputs, by name.
    pub inputs: Vec<Input>,
    /// The guest's own configuration: user, services and their ports inside the guest.
    pub guest: GuestConfig,
    /// What can be run or written to a disk.
    pub artifacts: Vec<Artifact>,
    /// Programs of the host that made it, with their versions.
    pub build_tools: Vec<BuildTool>,
    /// Packages of the base.
    pub packages: Vec<Package>,
    /// Packages of the npm lock.
    pub npm_packages: Vec<NpmPackage>,
}

/// One input of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The stage that takes it.
    pub name: String,
    /// SHA-256 of all that the stage takes.
    pub sha256: Digest,
}

/// A program of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTool {
    /// Its name.
    pub name: String,
    /// The first line that it prints of its version.
    pub version: String,
}

/// One file of a format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its format.
    pub format: Format,
    /// Its name beside the manifest.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
    /// The key of all inputs that it was made from.
    pub key: Digest,
}

impl Manifest {
    /// Reads the manifest of a folder.
    pub fn read(out_dir: &Utf8Path) -> Result<Self, Error> {
        let path = out_dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotBuilt {
                    out_dir: out_dir.to_owned(),
                    detail: format!("there is no {FILE}"),
                });
            }
            other => other.at("read", &path)?,
        };
        let damaged = |detail: String| Error::Damaged { path: path.clone(), detail };
        let manifest: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.schema > SCHEMA {
            return Err(damaged(format!(
                "its schema is {}, this version reads up to {SCHEMA}",
                manifest.schema
            )));
        }
        Ok(manifest)
    }

    /// Writes the manifest beside its place and renames it into it.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn write(&self, out_dir: &Utf8Path) -> Result<Utf8PathBuf, Error> {
        let path = out_dir.join(FILE);
        let partial = out_dir.join(format!(".{FILE}.partial"));
        let mut text = serde_json::to_string_pretty(self).expect("plain data");
        text.push('\n');
        fs::write(&partial, text).at("write", &partial)?;
        fs::rename(&partial, &path).at("rename into", &path)?;
        Ok(path)
    }

    /// The artifact of a format.
    pub fn artifact(&self, out_dir: &Utf8Path, format: Format) -> Result<&Artifact, Error> {
        self.artifacts.iter().find(|artifact| artifact.format == format).ok_or_else(|| {
            let formats =
                self.artifacts.iter().map(|artifact| artifact.format.to_string()).collect::<Vec<_>>();
            let detail = format!("format {format} was not built; there is: {}", formats.join(", "));
            Error::NotBuilt { out_dir: out_dir.to_owned(), detail }
        })
    }
}
