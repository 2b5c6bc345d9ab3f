//! What a base says of how an image came to be: each in its own terms.

use rave_spec::{Base, Format};
use serde::{Deserialize, Serialize};

use crate::bases::debian::VersionDifference;
use crate::digest::Digest;
use crate::tree::root_tar::InstalledPackage;

/// How the image came to be. In the file its fields stand beside the others, and `base` tells which they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "base", rename_all = "lowercase")]
pub enum Origin {
    /// By mmdebstrap and the stages after it.
    Debian(DebianOrigin),
    /// By `nix build`.
    Nixos(NixosOrigin),
}

/// What the Debian base made an image from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebianOrigin {
    /// Time stamp of the files that the build made, in seconds since 1970: `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: u64,
    /// Digests of the inputs, by name.
    pub inputs: Vec<BuildInput>,
    /// The digest of what the guest's root file system holds ([`crate::content`]): one and the same in every artifact.
    pub content: Digest,
    /// Packages of the base.
    pub packages: Vec<InstalledPackage>,
    /// URLs of the archives that the guest's apt is configured with, sorted; none in the manifest of an older version.
    #[serde(default)]
    pub archives: Vec<String>,
    /// What `debian.lock` had to do with them.
    pub debian_lock: LockUse,
}

/// One input of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInput {
    /// The stage that takes it.
    pub name: String,
    /// SHA-256 of all that the stage takes.
    pub sha256: Digest,
}

/// How the packages follow from `debian.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockUse {
    /// SHA-256 of the lock.
    pub sha256: Digest,
    /// Names of packages that it does not have: the archive's own at the time of the build.
    pub outside: Vec<String>,
    /// Packages that it has in another version than the image.
    pub differs: Vec<VersionDifference>,
}

/// What the NixOS base made an image from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NixosOrigin {
    /// The commit that was built; with `-dirty` where files differed from it, and none outside of git.
    pub flake_revision: Option<String>,
    /// The digest of the flake's files as Nix writes it: what tells one dirty tree from another.
    pub flake_nar_hash: String,
    /// What `nix --version` prints.
    pub nix_version: String,
    /// What was built, one for each artifact and in the same order.
    pub outputs: Vec<NixOutput>,
    /// It was built for tests, in a store that is marked by [`PAYLOAD_MARK`]: never to be released.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
}

/// What lies in the folder of a store whose packages are not those of nixpkgs.
pub const PAYLOAD_MARK: &str = "rave-payload";

/// A store path that artifacts lie in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NixOutput {
    /// The artifact's format.
    pub format: Format,
    /// The derivation that makes it.
    pub drv_path: String,
    /// Where it is in the store.
    pub out_path: String,
    /// The digest of its archive (`nix-store --dump`), as Nix writes it: `sha256-` and Base64.
    pub nar_hash: String,
    /// Bytes of its archive and of all that it refers to.
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

    /// Of the Debian base, where it is.
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

    /// Of the NixOS base, where it is.
    pub fn nixos(&self) -> Option<&NixosOrigin> {
        match self {
            Self::Nixos(nixos) => Some(nixos),
            Self::Debian(_) => None,
        }
    }
}
