//! What goes into a release, for the checks before it: profiles that are built here, or parts that other hosts built.

use rave_release::cut::ReleasePart;

use super::plan::{ReleaseProfile, has_default_password};

/// What a profile takes that was never built here, bytes: a desktop in all five formats.
const UNKNOWN_SIZE: u64 = 12 << 30;

/// What the checks ask.
pub(super) struct Contents {
    /// Bytes that the release may take.
    pub(super) size: u64,
    /// Profiles whose user has the password of rave.toml.
    pub(super) with_default_password: Vec<String>,
}

impl Contents {
    /// Of profiles that are built here.
    pub(super) fn of_profiles(profiles: &[ReleaseProfile]) -> anyhow::Result<Self> {
        let size = |profile: &ReleaseProfile| {
            let built = rave_image::Manifest::read(&profile.settings.out_dir).ok();
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
        Ok(Self { size: profiles.iter().map(size).sum(), with_default_password })
    }

    /// Of parts.
    pub(super) fn of_parts(parts: &[ReleasePart]) -> Self {
        let profiles = parts.iter().flat_map(ReleasePart::profiles);
        let default = profiles.filter(|profile| profile.default_password).map(|profile| profile.profile);
        Self {
            size: parts.iter().fold(0, |sum, part| sum.saturating_add(part.size())),
            with_default_password: default.collect(),
        }
    }
}
