//! What goes into a release, for the checks before it: profiles that are built here, or parts that other hosts built.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rave_image::Manifest;
use rave_image::inputs::Caches;
use rave_release::cut::{Built, ReleasePart};
use rave_spec::Base;

use super::inputs;
use super::order::Order;
use super::plan::{ReleaseProfile, has_claude, has_default_password};
use super::space::STAGES;
use crate::settings::Settings;

/// Size assumed for a profile that was never built here, bytes: a desktop in all five formats.
const UNKNOWN_SIZE: u64 = 12 << 30;

/// Size assumed for the archive of inputs before the first build, bytes: that of a desktop is 1.2 GiB.
const UNKNOWN_INPUTS: u64 = 1536 << 20;

/// What the checks need to know.
pub(super) struct Contents {
    /// Bytes that the release may take.
    pub(super) size: u64,
    /// Bytes that the largest second build takes temporarily; none if there is no second build, or no profile was built
    /// here before.
    pub(super) second_build: Option<u64>,
    /// Profiles whose user has the password of rave.toml.
    pub(super) with_default_password: Vec<String>,
    /// Whether Claude Code is in an image.
    pub(super) has_claude: bool,
}

impl Contents {
    /// Of profiles that are built here.
    pub(super) fn of_profiles(args: &Order<'_>, profiles: &[ReleaseProfile]) -> anyhow::Result<Self> {
        let size = |profile: &ReleaseProfile| {
            let built = Manifest::read(&profile.settings.out_dir).ok();
            let files = built.map(|manifest| {
                let files = manifest.artifacts.iter().flat_map(|artifact| &artifact.files);
                files.map(|file| file.size).sum::<u64>()
            });
            files.unwrap_or(UNKNOWN_SIZE)
        };
        let mut with_default_password = Vec::new();
        for profile in profiles {
            if has_default_password(&profile.settings)? {
                with_default_password.push(profile.settings.profile.to_string());
            }
        }
        let artifacts: u64 = profiles.iter().map(size).sum();
        let largest = profiles.iter().filter_map(allocated).max();
        let second_build = largest.filter(|_| !args.no_second_build).map(|size| size.saturating_add(STAGES));
        let size = artifacts.saturating_add(size_of_inputs(args, profiles));
        Ok(Self { size, second_build, with_default_password, has_claude: has_claude(profiles)? })
    }

    /// Of parts.
    pub(super) fn of_parts(parts: &[ReleasePart]) -> Self {
        let profiles = parts.iter().flat_map(ReleasePart::profiles);
        let default = profiles.filter(|profile| profile.default_password).map(|profile| profile.profile);
        Self {
            size: parts.iter().fold(0, |sum, part| sum.saturating_add(part.size())),
            second_build: None,
            with_default_password: default.collect(),
            has_claude: parts.iter().any(ReleasePart::has_claude),
        }
    }
}

/// Bytes that the artifacts of the last build take without their holes.
fn allocated(profile: &ReleaseProfile) -> Option<u64> {
    let folder = &profile.settings.out_dir;
    let manifest = Manifest::read(folder).ok()?;
    let files = manifest.artifacts.iter().flat_map(|artifact| &artifact.files);
    // A block is 512 bytes: stat(2).
    files.map(|file| Some(fs::metadata(folder.join(&file.name)).ok()?.blocks() * 512)).sum()
}

/// Bytes that the archive of inputs takes beside the artifacts. An archive that is split temporarily needs twice its
/// size.
fn size_of_inputs(args: &Order<'_>, profiles: &[ReleaseProfile]) -> u64 {
    let Some(first) = profiles.first().filter(|one| !args.no_inputs && one.settings.base == Base::Debian)
    else {
        return 0;
    };
    let size = known_size(&first.settings, profiles).unwrap_or(UNKNOWN_INPUTS);
    let is_cut = size > u64::from(args.part_size) << 20;
    if is_cut { size.saturating_mul(2) } else { size }
}

/// The size from the last builds, if every profile was built and its inputs are still cached.
fn known_size(settings: &Settings, profiles: &[ReleaseProfile]) -> Option<u64> {
    let built = profiles.iter().map(|profile| {
        let out_dir = profile.settings.out_dir.clone();
        Some(Built { manifest: Manifest::read(&out_dir).ok()?, out_dir })
    });
    let built: Vec<Built> = built.collect::<Option<_>>()?;
    let cargo = inputs::cargo_home().ok()?;
    let caches = Caches { builds: &settings.cache_dir, cargo: &cargo };
    let found = inputs::collect(settings, caches, &built.iter().collect::<Vec<_>>()).ok()?;
    found.iter().map(|input| Some(fs::metadata(&input.file).ok()?.len())).sum()
}
