//! The plan of a release.

use camino::Utf8PathBuf;
use rave_image::digest::{Digest, Hasher};
use rave_spec::{Base, Format};
use semver::Version;
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use crate::manifest::{Manifest, ProfileRelease, ReleaseFile, SCHEMA};
use crate::names;

/// The plan of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent answers to separate questions")]
pub struct Plan {
    /// Its version.
    pub version: Version,
    /// What builds the disks.
    pub base: Base,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Timestamp of what is built, seconds since 1970.
    pub epoch: u64,
    /// The released profiles, in this order.
    pub profiles: Vec<ProfilePlan>,
    /// Whether everything is built twice and compared.
    pub second_build: bool,
    /// The maximum size of a file, bytes.
    pub part_limit: u64,
    /// The changelog's entry for this version.
    pub changelog: String,
    /// The digest of the effective settings. They may differ from those of the commit, and secrets are in them: it only
    /// says that they changed, and is not published.
    pub settings: Digest,
    /// Keys of settings whose values the commit does not have: those of the user, of rave.local.toml and of the
    /// environment.
    pub own_settings: Vec<String>,
    /// Files that determine what is built, with their digests.
    pub sources: Vec<Source>,
    /// Whether the release has an archive of its inputs.
    pub inputs: bool,
    /// Whether images of the tests are released, which cannot be published.
    pub payload: bool,
    /// Whether Claude Code, which not everybody may redistribute, is in an image.
    pub has_claude: bool,
    /// Statements about keys that the release includes. Like the two folders below, its content counts and not its
    /// path: the stages that read it depend on it.
    #[serde(skip)]
    pub keys: Option<Utf8PathBuf>,
    /// The folder of an earlier release, which the notes compare with.
    #[serde(skip)]
    pub previous: Option<Utf8PathBuf>,
    /// The folder of an earlier release to make patches from.
    #[serde(skip)]
    pub patch_from: Option<Utf8PathBuf>,
    /// The output folder.
    #[serde(skip)]
    pub out: Utf8PathBuf,
}

/// The plan of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfilePlan {
    /// Its name.
    pub profile: String,
    /// The guest's architecture: `x86_64`.
    pub arch: String,
    /// The formats, in this order.
    pub formats: Vec<Format>,
    /// Whether the user has the password of the sources.
    pub default_password: bool,
}

/// A file that determines what is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its path in the checkout.
    pub name: String,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Plan {
    /// The digest that identifies it, for keys.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn digest(&self, key: Option<&PublicKey>) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field("plan", &serde_json::to_vec(self).expect("plain data"));
        hasher.field("key", key.map(crate::key::fingerprint).unwrap_or_default().as_bytes());
        hasher.field("tool", env!("CARGO_PKG_VERSION").as_bytes());
        hasher.finish()
    }

    /// `rave-<version>-<profile>-<arch>`.
    pub fn stem(&self, profile: &ProfilePlan) -> String {
        names::stem(&self.version, &profile.profile, &profile.arch)
    }

    /// The release's description.
    pub(super) fn manifest(&self, profiles: Vec<ProfileRelease>, inputs: Option<ReleaseFile>) -> Manifest {
        Manifest {
            schema: SCHEMA,
            name: names::PRODUCT.into(),
            version: self.version.clone(),
            base: self.base,
            commit: self.commit.clone(),
            source_date_epoch: self.epoch,
            payload: self.payload,
            profiles,
            inputs,
        }
    }

    /// Whether a finished release is the result of this plan.
    pub(super) fn matches(&self, manifest: &Manifest) -> bool {
        let wanted = self
            .profiles
            .iter()
            .map(|one| (&one.profile, &one.arch, one.formats.clone(), one.default_password));
        let made = manifest.profiles.iter().map(|one| {
            let formats = one.artifacts.iter().map(|artifact| artifact.format).collect();
            (&one.profile, &one.arch, formats, one.default_password)
        });
        manifest.version == self.version
            && manifest.commit == self.commit
            && manifest.base == self.base
            && manifest.payload == self.payload
            && manifest.inputs.is_some() == self.inputs
            && wanted.eq(made)
    }
}
