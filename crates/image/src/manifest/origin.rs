//! How a base built an image, in terms of each base.

use rave_spec::{Base, Format};
use serde::{Deserialize, Serialize};

use crate::bases::debian::VersionDifference;
use crate::digest::Digest;
use crate::tree::root_tar::InstalledPackage;

/// How the image was built. In the file its fields are beside the others, and `base` tells them apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "base", rename_all = "lowercase")]
pub enum Origin {
    /// With mmdebstrap and the stages after it.
    Debian(DebianOrigin),
    /// With `nix build`.
    Nixos(NixosOrigin),
}

/// The inputs of the Debian base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebianOrigin {
    /// Timestamp of the files created by the build, in seconds since 1970: `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: u64,
    /// Digests of the inputs, by name.
    pub inputs: Vec<BuildInput>,
    /// The digest of the guest's root file system ([`crate::content`]): the same in every artifact.
    pub content: Digest,
    /// Packages of the base.
    pub packages: Vec<InstalledPackage>,
    /// URLs of the archives that the guest's apt is configured with, sorted; empty in manifests of older versions.
    #[serde(default)]
    pub archives: Vec<String>,
    /// How they relate to `debian.lock`.
    pub debian_lock: LockUse,
}

/// One input of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInput {
    /// The stage that uses it.
    pub name: String,
    /// SHA-256 of everything that the stage uses.
    pub sha256: Digest,
}

/// How the packages relate to `debian.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockUse {
    /// SHA-256 of the lock.
    pub sha256: Digest,
    /// Names of packages that are not in it: built at the archive's versions.
    pub outside: Vec<String>,
    /// Packages whose version in the image differs from the lock.
    pub differs: Vec<VersionDifference>,
}

/// The inputs of the NixOS base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NixosOrigin {
    /// The commit that was built, with `-dirty` if files differed from it; none outside of git.
    pub flake_revision: Option<String>,
    /// The digest of the flake's files in Nix's notation: it distinguishes dirty trees.
    pub flake_nar_hash: String,
    /// The output of `nix --version`.
    pub nix_version: String,
    /// The outputs, one for each artifact, in the same order.
    pub outputs: Vec<NixOutput>,
    /// The packages in the closure of its system, once for each output. Empty in manifests of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<NixPackage>,
    /// It was built for tests, in a store that is marked by [`PAYLOAD_MARK`]: never to be released.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
}

/// A package of a Nix closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NixPackage {
    /// Its name in nixpkgs.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The output in the closure, if it is not the only one: `bin`, `lib`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The SHA-256 of the store path's archive (NAR).
    pub nar_sha256: Digest,
}

/// The name of a file in the folder of a store whose packages are not those of nixpkgs.
pub const PAYLOAD_MARK: &str = "rave-payload";

/// A store path with artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NixOutput {
    /// The artifact's format.
    pub format: Format,
    /// The derivation that makes it.
    pub drv_path: String,
    /// Its path in the store.
    pub out_path: String,
    /// The digest of its archive (`nix-store --dump`), in Nix's notation: `sha256-` and Base64.
    pub nar_hash: String,
    /// Bytes of its closure: its archive and everything that it refers to.
    pub closure_size: u64,
}

impl Origin {
    /// The base that made it.
    pub fn base(&self) -> Base {
        match self {
            Self::Debian(_) => Base::Debian,
            Self::Nixos(_) => Base::Nixos,
        }
    }

    /// The origin, if the Debian base built the image.
    pub fn debian(&self) -> Option<&DebianOrigin> {
        match self {
            Self::Debian(debian) => Some(debian),
            Self::Nixos(_) => None,
        }
    }

    /// Whether it may only be tested.
    pub fn is_payload(&self) -> bool {
        self.nixos().is_some_and(|nixos| nixos.payload)
    }

    /// The origin, if the NixOS base built the image.
    pub fn nixos(&self) -> Option<&NixosOrigin> {
        match self {
            Self::Nixos(nixos) => Some(nixos),
            Self::Debian(_) => None,
        }
    }
}
