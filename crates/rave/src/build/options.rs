//! What a build is asked for by a command, and its folders.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::bases::debian::{NetworkAccess, PackagePolicy};
use rave_image::build::ChangedArtifact;
use rave_spec::{Compression, Format};

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

/// What a command wants built.
pub struct BuildOptions<'a> {
    /// What to build.
    pub formats: &'a [Format],
    /// Redo every stage.
    pub refresh: bool,
    /// What to do with an artifact that somebody changed.
    pub changed_artifact: ChangedArtifact,
    /// How; rave.toml's way where it is none.
    pub compress: Option<Compression>,
    /// Whether an artifact of any compression will do.
    pub any_compression: bool,
    /// Which packages of Debian.
    pub packages: PackagePolicy<'a>,
    /// Whether the network may be used.
    pub network: NetworkAccess,
}

impl<'a> BuildOptions<'a> {
    /// What `run` and `smoke` boot: built where it is missing or stale, refused where somebody changed it.
    pub fn to_boot(formats: &'a [Format], building: &cli::Building) -> Self {
        Self {
            changed_artifact: ChangedArtifact::Refuse,
            any_compression: true,
            network: network(building),
            ..Self::fresh(formats)
        }
    }

    /// What `image` was asked for.
    pub fn of(args: &cli::Image, formats: &'a [Format]) -> Self {
        Self {
            compress: args.compress,
            refresh: args.refresh,
            packages: if args.frozen { PackagePolicy::Frozen } else { PackagePolicy::Lock },
            network: network(&args.building),
            ..Self::fresh(formats)
        }
    }

    /// What is delivered, as rave.toml wants it.
    pub fn fresh(formats: &'a [Format]) -> Self {
        Self {
            formats,
            refresh: false,
            changed_artifact: ChangedArtifact::Replace,
            compress: None,
            any_compression: false,
            packages: PackagePolicy::Lock,
            network: NetworkAccess::Allowed,
        }
    }
}

fn network(building: &cli::Building) -> NetworkAccess {
    if building.offline { NetworkAccess::Off } else { NetworkAccess::Allowed }
}
