//! What to build, and by which rules.

use camino::Utf8Path;
use rave_spec::{Base, Compress, Format, Spec};

use crate::bases::debian::lock::Lock;
use crate::bases::debian::{Mirrors, NetworkAccess, PackagePolicy, ResolveOptions};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    /// The checkout.
    pub root: &'a Utf8Path,
    /// The specification.
    pub spec: &'a Spec,
    /// The profile's name.
    pub profile: &'a str,
    /// The base.
    pub base: Base,
    /// The formats, at least one.
    pub formats: &'a [Format],
    /// How artifacts are compressed that are made now.
    pub compress: Compress,
    /// Whether an artifact that is there counts however it is compressed: to boot it makes no difference.
    pub any_compression: bool,
    /// Where artifacts and manifest go.
    pub out_dir: &'a Utf8Path,
    /// Where finished stages are kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// Build every stage, even where the cache has its result.
    pub refresh: bool,
    /// What to do with an artifact that somebody changed since it was built.
    pub changed_artifact: ChangedArtifact,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub epoch: u64,
    /// What the checkout's `debian.lock` says.
    pub lock: &'a Lock,
    /// What decides on the packages.
    pub packages: PackagePolicy<'a>,
    /// Where they may come from.
    pub network: NetworkAccess,
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
    pub(super) fn options(&self) -> ResolveOptions<'_> {
        ResolveOptions {
            lock: self.lock,
            mirrors: Mirrors::of(self.spec),
            packages: self.packages,
            network: self.network,
            refresh: self.refresh,
            cache_dir: self.cache_dir,
        }
    }
}
