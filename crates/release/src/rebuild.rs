//! Compares a rebuild with a release: artifacts, bills, inputs and the manifest must be equal byte by byte. The
//! provenance, reports and signatures contain times and are not compared.

mod differences;
mod place;

pub use differences::{Difference, What, differences};
pub use place::first_file;

use rave_image::digest::Digest;
use rave_spec::Base;

use crate::cut::{Plan, ProfilePlan};
use crate::manifest::Manifest;

/// The plan of a release, reconstructed from its manifest.
pub fn plan(manifest: &Manifest, out: camino::Utf8PathBuf) -> Plan {
    let profile = |one: &crate::manifest::ProfileRelease| ProfilePlan {
        profile: one.profile.clone(),
        arch: one.arch.clone(),
        formats: one.artifacts.iter().map(|artifact| artifact.format).collect(),
        default_password: one.default_password,
    };
    // The first part of a file has the maximum size.
    let part_limit = manifest.files().filter_map(|file| file.parts.first()).map(|part| part.size).max();
    Plan {
        version: manifest.version.clone(),
        base: manifest.base,
        commit: manifest.commit.clone(),
        epoch: manifest.source_date_epoch,
        profiles: manifest.profiles.iter().map(profile).collect(),
        second_build: false,
        part_limit: part_limit.unwrap_or(u64::MAX),
        changelog: String::new(),
        settings: Digest::of_bytes(b""),
        own_settings: Vec::new(),
        sources: Vec::new(),
        inputs: manifest.inputs.is_some(),
        payload: manifest.payload,
        has_claude: false,
        keys: None,
        previous: None,
        patch_from: None,
        out,
    }
}

/// Why a release cannot be rebuilt by this program.
pub fn refusal(manifest: &Manifest) -> Option<String> {
    match manifest.base {
        Base::Debian => None,
        Base::Nixos => Some("it is of the nixos base, whose disks are rebuilt by nix itself".into()),
    }
}
