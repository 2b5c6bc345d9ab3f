//! The options of a build and its folders.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::bases::debian::{NetworkAccess, PackagePolicy};
use rave_image::build::{BuildOptions, ChangedArtifact};
use rave_spec::Format;

use crate::cli;
use crate::settings::Settings;

/// The folders of a build.
pub struct Places {
    pub(super) out: Utf8PathBuf,
    pub(super) cache: Utf8PathBuf,
    pub(super) logs: Utf8PathBuf,
}

impl Places {
    /// The user's.
    pub fn of(settings: &Settings) -> Self {
        Self {
            out: settings.out_dir.clone(),
            cache: settings.cache_dir.clone(),
            logs: settings.state_dir.join("logs"),
        }
    }

    /// The user's, with the artifacts elsewhere.
    pub fn with_out(settings: &Settings, out: Utf8PathBuf) -> Self {
        Self { out, ..Self::of(settings) }
    }

    /// All in `folder`, with the artifacts in its folder `out`.
    pub fn below(folder: &Utf8Path, out: &str) -> Self {
        Self { out: folder.join(out), cache: folder.join("cache"), logs: folder.join("logs") }
    }
}

/// What `run` and `smoke` boot: built where it is missing or stale, refused where somebody changed it.
pub fn to_boot<'a>(formats: &'a [Format], building: &cli::Building) -> BuildOptions<'a> {
    BuildOptions {
        changed_artifact: ChangedArtifact::Refuse,
        any_compression: true,
        network: network(building),
        ..BuildOptions::new(formats)
    }
}

/// What `image` was asked for.
pub fn of_image<'a>(args: &cli::Image, formats: &'a [Format]) -> BuildOptions<'a> {
    BuildOptions {
        compress: args.compress,
        refresh: args.refresh,
        packages: if args.frozen { PackagePolicy::Frozen } else { PackagePolicy::Lock },
        network: network(&args.building),
        ..BuildOptions::new(formats)
    }
}

fn network(building: &cli::Building) -> NetworkAccess {
    if building.offline { NetworkAccess::Off } else { NetworkAccess::Allowed }
}
