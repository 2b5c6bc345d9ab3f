//! `manifest.json`: describes the artifacts beside it and their inputs. `run`, `smoke` and `release` read it instead of
//! searching folders.

mod origin;

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_guest::config::GuestConfig;
use rave_spec::{Base, Format};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::npm_tools::NpmPackage;
pub use origin::{
    BuildInput, DebianOrigin, LockUse, NixOutput, NixPackage, NixosOrigin, Origin, PAYLOAD_MARK,
};

/// The file's name.
pub const FILE: &str = "manifest.json";

/// The schema version; readers refuse every other one.
pub const SCHEMA: u32 = 4;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The base that made it, and its inputs.
    #[serde(flatten)]
    pub origin: Origin,
    /// The profile's name.
    pub profile: String,
    /// The guest's own configuration: user, services and their ports inside the guest.
    pub guest: GuestConfig,
    /// What can be run or written to a disk.
    pub artifacts: Vec<Artifact>,
    /// Programs of the host that made it, with their versions.
    pub build_tools: Vec<BuildTool>,
    /// Packages of the npm lock, used by both bases.
    pub npm_packages: Vec<NpmPackage>,
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

/// A program of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTool {
    /// Its name.
    pub name: String,
    /// The first line of its version output.
    pub version: String,
}

/// An artifact of a format: one or more files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its format.
    pub format: Format,
    /// Its files; the first is the bootable one.
    pub files: ArtifactFiles,
    /// The key of all inputs that it was made from.
    pub key: Digest,
}

/// The files of an artifact, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<ArtifactFile>", into = "Vec<ArtifactFile>")]
pub struct ArtifactFiles(Vec<ArtifactFile>);

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Its name beside the manifest: without a folder, not hidden.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

impl Artifact {
    /// The bootable file.
    pub fn boot_file(&self) -> &ArtifactFile {
        &self.files.0[0]
    }
}

impl ArtifactFiles {
    /// All of them, the bootable one first.
    pub fn iter(&self) -> std::slice::Iter<'_, ArtifactFile> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ArtifactFiles {
    type Item = &'a ArtifactFile;
    type IntoIter = std::slice::Iter<'a, ArtifactFile>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<ArtifactFile>> for ArtifactFiles {
    type Error = String;

    fn try_from(files: Vec<ArtifactFile>) -> Result<Self, String> {
        // Names are joined to a folder and opened: an untrusted manifest must not lead elsewhere.
        let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        match files.iter().find(|file| !plain(&file.name)) {
            _ if files.is_empty() => Err("an artifact has no file".to_owned()),
            Some(file) => Err(format!("{:?} is not a name of an artifact's file", file.name)),
            None => Ok(Self(files)),
        }
    }
}

impl From<ArtifactFiles> for Vec<ArtifactFile> {
    fn from(files: ArtifactFiles) -> Self {
        files.0
    }
}

impl Manifest {
    /// The base that made it.
    pub fn base(&self) -> Base {
        self.origin.base()
    }

    /// Digests of the inputs; empty for the NixOS base, which has derivations instead.
    pub(crate) fn debian_inputs(&self) -> &[BuildInput] {
        self.origin.debian().map(|origin| origin.inputs.as_slice()).unwrap_or_default()
    }

    /// URLs of the archives that the guest's apt is configured with.
    pub fn archives(&self) -> &[String] {
        self.origin.debian().map(|origin| origin.archives.as_slice()).unwrap_or_default()
    }

    /// The version of each package of the npm lock, by name.
    pub fn npm_versions(&self) -> BTreeMap<String, String> {
        self.npm_packages.iter().map(|package| (package.name.clone(), package.version.clone())).collect()
    }

    /// Reads the manifest of a folder.
    pub fn read(out_dir: &Utf8Path) -> Result<Self, Error> {
        match Self::read_file(&out_dir.join(FILE)) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NotBuilt { out_dir: out_dir.to_owned(), detail: format!("there is no {FILE}") })
            }
            other => other,
        }
    }

    /// Reads a manifest by its own path.
    pub fn read_file(path: &Utf8Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).at("read", path)?;
        let damaged = |detail: String| Error::Damaged { path: path.to_owned(), detail };
        // The schema first: errors about fields of another schema would be confusing.
        let Schema { schema } = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if schema != SCHEMA {
            return Err(damaged(format!("its schema is {schema}, this version reads {SCHEMA}")));
        }
        serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))
    }

    /// The text of the manifest's file.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }

    /// Writes the manifest, whole or not at all.
    pub fn write(&self, out_dir: &Utf8Path) -> Result<Utf8PathBuf, Error> {
        let path = out_dir.join(FILE);
        Replace::new(&path).write(self.to_json()).at("write", &path)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> ArtifactFile {
        ArtifactFile { name: name.into(), size: 1, sha256: Digest::of_bytes(b"") }
    }

    #[test]
    fn an_artifact_has_files_with_names_inside_its_folder() {
        let files = ArtifactFiles::try_from(vec![file("a.vmdk"), file("a.vmx")]).unwrap();
        let text = serde_json::to_string(&files).unwrap();
        assert_eq!(serde_json::from_str::<ArtifactFiles>(&text).unwrap(), files);
        assert_eq!(
            serde_json::from_str::<ArtifactFiles>("[]").unwrap_err().to_string(),
            "an artifact has no file"
        );
        for name in ["", "..", "a/b", "/etc/passwd", ".a.vmdk.seen"] {
            assert!(ArtifactFiles::try_from(vec![file("a.vmdk"), file(name)]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_manifest_with_another_schema_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        fs::write(folder.join(FILE), r#"{"schema": 1, "artifacts": [{"file": "a"}]}"#).unwrap();
        let error = Manifest::read(folder).unwrap_err().to_string();
        assert!(error.ends_with("its schema is 1, this version reads 4"), "{error}");
    }

    fn manifest(origin: Origin) -> Manifest {
        Manifest {
            schema: SCHEMA,
            origin,
            profile: "headless".into(),
            guest: GuestConfig::default(),
            artifacts: Vec::new(),
            build_tools: Vec::new(),
            npm_packages: Vec::new(),
        }
    }

    #[test]
    fn the_base_determines_the_other_fields() {
        let output = NixOutput {
            format: Format::Qemu,
            drv_path: "/nix/store/a.drv".into(),
            out_path: "/nix/store/b".into(),
            nar_hash: "sha256-c".into(),
            closure_size: u64::MAX,
        };
        let nixos = manifest(Origin::Nixos(NixosOrigin {
            flake_revision: None,
            flake_nar_hash: "sha256-d".into(),
            nix_version: "nix (Nix) 2.26.3".into(),
            outputs: vec![output],
            packages: Vec::new(),
            payload: false,
        }));
        let value = serde_json::to_value(&nixos).unwrap();
        assert_eq!((&value["base"], &value["outputs"][0]["format"]), (&"nixos".into(), &"qemu".into()));
        assert_eq!(serde_json::from_value::<Manifest>(value.clone()).unwrap(), nixos);
        let mut other = value;
        other["base"] = "debian".into();
        let error = serde_json::from_value::<Manifest>(other).unwrap_err().to_string();
        assert!(error.contains("source_date_epoch"), "{error}");
    }
}
