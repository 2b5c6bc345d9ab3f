//! What to build, and by which rules.

use camino::Utf8Path;
use rave_spec::{Base, Compress, Compression, Format, Spec};

use crate::bases::debian::lock::Lock;
use crate::bases::debian::{Mirrors, NetworkAccess, PackagePolicy, ResolveOptions};

/// What a command asks for.
#[derive(Debug, Clone, Copy)]
pub struct BuildOptions<'a> {
    /// The formats, at least one.
    pub formats: &'a [Format],
    /// Build every stage, even where the cache has its result.
    pub refresh: bool,
    /// What to do with an artifact that somebody changed since it was built.
    pub changed_artifact: ChangedArtifact,
    /// How artifacts are compressed; as rave.toml says where it is none.
    pub compress: Option<Compression>,
    /// Whether an artifact that is there counts however it is compressed: to boot it makes no difference.
    pub any_compression: bool,
    /// What decides on the packages.
    pub packages: PackagePolicy<'a>,
    /// Where they may come from.
    pub network: NetworkAccess,
}

impl<'a> BuildOptions<'a> {
    /// What is delivered, as rave.toml wants it.
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
    /// What the command asked for.
    pub options: BuildOptions<'a>,
    /// The checkout.
    pub root: &'a Utf8Path,
    /// The specification.
    pub spec: &'a Spec,
    /// The profile's name.
    pub profile: &'a str,
    /// The base.
    pub base: Base,
    /// How artifacts are compressed that are made now.
    pub compress: Compress,
    /// Where artifacts and manifest go.
    pub out_dir: &'a Utf8Path,
    /// Where finished stages are kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub epoch: u64,
    /// What the checkout's `debian.lock` says.
    pub lock: &'a Lock,
}

/// What to do with an artifact that somebody changed since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedArtifact {
    /// Rebuild it, with a warning: `image` was asked for just that.
    Replace,
    /// Stop with both digests: whoever wants to boot it should know.
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
