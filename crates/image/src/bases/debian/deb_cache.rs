//! The cache of package files: `<cache>/debs/SHA256.deb`, and beside each the archive's description of it,
//! `SHA256.stanza`, so that a repository can be made from them without the archive.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;

use super::lock::LockedPackage;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// The cache; the caller holds the cache's lock.
#[derive(Debug, Clone)]
pub(crate) struct DebCache {
    folder: Utf8PathBuf,
}

impl DebCache {
    /// Opens the cache and removes leftovers of killed downloads.
    pub(crate) fn open(cache_dir: &Utf8Path) -> Result<Self, Error> {
        let folder = cache_dir.join("debs");
        let deb_cache = Self { folder };
        let partial = deb_cache.partial();
        if partial.exists() {
            fs::remove_dir_all(&partial).at("remove", &partial)?;
        }
        fs::create_dir_all(&partial).at("create", &partial)?;
        Ok(deb_cache)
    }

    /// Where files are while they are downloaded.
    pub(crate) fn partial(&self) -> Utf8PathBuf {
        self.folder.join("partial")
    }

    fn deb(&self, sha256: &Digest) -> Utf8PathBuf {
        self.folder.join(format!("{sha256}.deb"))
    }

    fn stanza(&self, sha256: &Digest) -> Utf8PathBuf {
        self.folder.join(format!("{sha256}.stanza"))
    }

    /// Whether the file and its description are cached. Its content was checked when it arrived, and apt checks it
    /// again when it uses it.
    pub(crate) fn has(&self, package: &LockedPackage) -> bool {
        let size = fs::metadata(self.deb(&package.sha256)).map(|meta| meta.len());
        size.is_ok_and(|size| size == package.size) && self.stanza(&package.sha256).is_file()
    }

    /// The packages that are not cached.
    pub(crate) fn missing<'a>(&self, packages: &'a [LockedPackage]) -> Vec<&'a LockedPackage> {
        packages.iter().filter(|package| !self.has(package)).collect()
    }

    /// Moves the downloads from [`DebCache::partial`] into the cache, each file by its digest; an unexpected file is an
    /// error.
    pub(crate) fn take(&self, stanzas: &HashMap<Digest, String>) -> Result<(), Error> {
        let partial = self.partial();
        for entry in partial.read_dir_utf8().at("list", &partial)? {
            let path = entry.at("list", &partial)?.path().to_owned();
            let sha256 = Digest::of_file(&path).at("read", &path)?;
            let Some(stanza) = stanzas.get(&sha256) else {
                return Err(Error::Damaged {
                    path,
                    detail: format!("nothing of its SHA-256, {sha256}, was asked for"),
                });
            };
            // It is read by the root of a user namespace, which is a different user.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).at("open to others", &path)?;
            let stanza_path = self.stanza(&sha256);
            Replace::new(&stanza_path).unsynced().write(stanza).at("write", &stanza_path)?;
            let place = self.deb(&sha256);
            fs::rename(&path, &place).at("rename into", &place)?;
        }
        Ok(())
    }

    /// Makes a flat repository in `folder` from hard links, or from copies if it is on another file system.
    pub(crate) fn repository(
        &self,
        suite: &str,
        packages: &[LockedPackage],
        folder: &Utf8Path,
    ) -> Result<(), Error> {
        fs::create_dir(folder).at("create", folder)?;
        let mut index = String::new();
        for package in packages {
            let stanza = self.stanza(&package.sha256);
            let text = fs::read_to_string(&stanza).at("read", &stanza)?;
            let name = format!("{}.deb", package.sha256);
            for line in text.lines().filter(|line| !line.is_empty()) {
                match line.strip_prefix("Filename: ") {
                    Some(_) => writeln!(index, "Filename: ./{name}"),
                    None => writeln!(index, "{line}"),
                }
                .expect("a string takes all");
            }
            index.push('\n');
            let (from, to) = (self.deb(&package.sha256), folder.join(&name));
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).at("copy", &from)?;
            }
        }
        let path = folder.join("Packages");
        fs::write(&path, &index).at("write", &path)?;
        // Both suite and code name: mmdebstrap selects archives by one of these names.
        let digest = Digest::of_bytes(index.as_bytes());
        let release =
            format!("Suite: {suite}\nCodename: {suite}\nSHA256:\n {digest} {} Packages\n", index.len());
        let path = folder.join("Release");
        fs::write(&path, release).at("write", &path)?;
        for path in [folder.to_owned(), folder.join("Packages"), folder.join("Release")] {
            let mode = if path == folder { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("open to others", &path)?;
        }
        Ok(())
    }
}

/// A field of a deb822(5) paragraph, of one line.
pub(super) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_verified_swept_and_served_as_a_repository() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Utf8Path::from_path(dir.path()).unwrap();
        let deb_cache = DebCache::open(cache).unwrap();
        let sha256 = Digest::of_bytes(b"deb");
        let package = LockedPackage {
            name: "a".into(),
            version: "1:2".into(),
            architecture: "all".into(),
            size: 3,
            sha256,
        };
        assert_eq!(deb_cache.missing(std::slice::from_ref(&package)), [&package]);
        fs::write(deb_cache.partial().join("half"), "de").unwrap();
        let error = deb_cache.take(&HashMap::new()).unwrap_err().to_string();
        assert!(error.contains("half is damaged"), "{error}");

        let deb_cache = DebCache::open(cache).unwrap();
        assert_eq!(deb_cache.partial().read_dir_utf8().unwrap().count(), 0, "it was swept");
        fs::write(deb_cache.partial().join("a_1%3a2_all.deb"), "deb").unwrap();
        let stanza = "Package: a\nVersion: 1:2\nFilename: pool/a.deb\nSize: 3\n".to_owned();
        deb_cache.take(&[(sha256, stanza)].into()).unwrap();
        assert!(deb_cache.has(&package));
        assert!(!deb_cache.has(&LockedPackage { size: 4, ..package.clone() }), "cut short");

        let folder = cache.join("repository");
        deb_cache.repository("trixie", &[package], &folder).unwrap();
        let index = fs::read_to_string(folder.join("Packages")).unwrap();
        assert_eq!(index, format!("Package: a\nVersion: 1:2\nFilename: ./{sha256}.deb\nSize: 3\n\n"));
        assert_eq!(fs::read_to_string(folder.join(format!("{sha256}.deb"))).unwrap(), "deb");
        assert!(
            fs::read_to_string(folder.join("Release"))
                .unwrap()
                .starts_with("Suite: trixie\nCodename: trixie\n")
        );
    }
}
