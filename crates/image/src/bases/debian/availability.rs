//! Whether the packages of `debian.lock` are available: from the cache, or from the archive as it is now.

use std::fs;

use camino::Utf8Path;
use rave_process::progress::Sink;
use rave_spec::Spec;

use super::apt::{self, Apt};
use super::deb_cache::DebCache;
use super::lock::{Lock, LockedPackage};
use super::resolve::NetworkAccess;
use super::sources::Mirrors;
use crate::error::{Error, IoContext as _};
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;

/// What to look for, and where to work.
#[derive(Debug, Clone, Copy)]
pub struct AvailabilityRequest<'a> {
    /// The settings, for mirrors.
    pub spec: &'a Spec,
    /// The lock.
    pub lock: &'a Lock,
    /// The profiles whose packages count.
    pub profiles: &'a [&'a str],
    /// Where the cache of package files is.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// Whether the archive may be queried.
    pub network: NetworkAccess,
}

/// Where the packages are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Availability {
    /// How many are in the cache.
    pub cached: usize,
    /// How many are only in the archive.
    pub in_archive: usize,
    /// Packages that are in neither, or, without network access, not in the cache: `NAME VERSION`.
    pub missing: Vec<String>,
}

/// Checks the cache, and the archive's indexes for packages that are not cached: they are fetched once, regardless of
/// the number of packages. No package is downloaded.
pub fn availability(request: &AvailabilityRequest<'_>, sink: Sink<'_>) -> Result<Availability, Error> {
    let wanted: Vec<LockedPackage> = request
        .lock
        .packages
        .values()
        .filter(|(_, profiles)| request.profiles.iter().any(|profile| profiles.contains(*profile)))
        .map(|(package, _)| package.clone())
        .collect();
    for folder in [request.cache_dir, request.log_dir] {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let _lock = crate::build::lock(request.cache_dir, sink)?;
    let cache = DebCache::open(request.cache_dir)?;
    let not_cached = cache.missing(&wanted);
    let cached = wanted.len() - not_cached.len();
    let found = if not_cached.is_empty() || request.network == NetworkAccess::Off {
        Vec::new()
    } else {
        crate::tempdir::sweep(request.cache_dir)?;
        let store = StageCache::open(request.cache_dir)?;
        let stages = StageRunner::new(store, request.cache_dir, request.log_dir, false, sink);
        let apt = Apt::open(&stages, request.spec.debian.suite.as_str(), Mirrors::of(request.spec))?;
        stages.timed(apt::STAGE, || apt.available(&not_cached))?
    };
    let is_found = |package: &&&LockedPackage| found.iter().any(|one| one.package.sha256 == package.sha256);
    let missing = not_cached.iter().filter(|package| !is_found(package));
    let missing = missing.map(|package| format!("{} {}", package.name, package.version)).collect();
    Ok(Availability { cached, in_archive: found.len(), missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn uncached_packages_are_missing_without_a_network() {
        let folder = tempfile::tempdir().unwrap();
        let cache_dir = Utf8Path::from_path(folder.path()).unwrap();
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = fs::read_to_string(root.join("rave.toml")).unwrap();
        let profile = fs::read_to_string(root.join("profiles/simple.toml")).unwrap();
        let files = [
            rave_spec::ConfigFile::settings("rave.toml", &text),
            rave_spec::ConfigFile::profile("simple", "simple", &profile),
        ];
        let spec = rave_spec::load(&files, &[]).unwrap().spec;
        let [a, b, c] = [b"a", b"b", b"c"].map(|name| Digest::of_bytes(name));
        let text = format!(
            "rave-debian-lock 1\nsuite trixie\nrelease trixie 2026-11-14T09:53:00Z {a}\nprofile full a,c\nprofile simple a,b\n\
             package a 1 all 1 {a} full,simple\npackage b 2 all 1 {b} simple\npackage c 1 all 1 {c} full\n"
        );
        let lock = Lock::parse(&text).unwrap();
        let debs = cache_dir.join("debs");
        fs::create_dir(&debs).unwrap();
        for name in [format!("{a}.deb"), format!("{a}.stanza")] {
            fs::write(debs.join(name), "a").unwrap();
        }
        let request = AvailabilityRequest {
            spec: &spec,
            lock: &lock,
            profiles: &["simple"],
            cache_dir,
            log_dir: cache_dir,
            network: NetworkAccess::Off,
        };
        let found = availability(&request, &|_| ()).unwrap();
        assert_eq!(found, Availability { cached: 1, in_archive: 0, missing: vec!["b 2".into()] });
    }
}
