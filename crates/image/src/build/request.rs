//! What to build, and how.

use camino::Utf8Path;
use rave_spec::{Base, Compress, Compression, Format, Spec};

use crate::bases::debian::lock::Lock;
use crate::bases::debian::{Mirrors, NetworkAccess, PackagePolicy, ResolveOptions};

/// The options of a command.
#[derive(Debug, Clone, Copy)]
pub struct BuildOptions<'a> {
    /// The formats, at least one.
    pub formats: &'a [Format],
    /// Build every stage, even if the cache has its result.
    pub refresh: bool,
    /// What to do with an artifact that somebody changed since it was built.
    pub changed_artifact: ChangedArtifact,
    /// The compression of artifacts; that of rave.toml if it is none.
    pub compress: Option<Compression>,
    /// Whether an existing artifact counts regardless of its compression, which makes no difference for booting.
    pub any_compression: bool,
    /// How packages are chosen.
    pub packages: PackagePolicy<'a>,
    /// Where they may come from.
    pub network: NetworkAccess,
}

impl<'a> BuildOptions<'a> {
    /// The default options for these formats, with the compression of rave.toml.
    pub fn new(formats: &'a [Format]) -> Self {
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

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    /// The options of the command.
    pub options: BuildOptions<'a>,
    /// The checkout.
    pub root: &'a Utf8Path,
    /// The specification.
    pub spec: &'a Spec,
    /// The profile's name.
    pub profile: &'a str,
    /// The base.
    pub base: Base,
    /// The compression of new artifacts.
    pub compress: Compress,
    /// Where the artifacts and the manifest go.
    pub out_dir: &'a Utf8Path,
    /// Where finished stages are kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub epoch: u64,
    /// The checkout's `debian.lock`.
    pub lock: &'a Lock,
}

/// What to do with an artifact that somebody changed since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedArtifact {
    /// Rebuild it with a warning: that is what `image` is for.
    Replace,
    /// Fail with both digests: a user who wants to boot it should know.
    Refuse,
}

impl BuildRequest<'_> {
    pub(super) fn resolve_options(&self) -> ResolveOptions<'_> {
        ResolveOptions {
            lock: self.lock,
            mirrors: Mirrors::of(self.spec),
            packages: self.options.packages,
            network: self.options.network,
            refresh: self.options.refresh,
            cache_dir: self.cache_dir,
        }
    }
}
