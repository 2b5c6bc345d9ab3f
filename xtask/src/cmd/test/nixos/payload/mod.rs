//! Debian's packages as one path of the store, with links in `/nix` that lead into it.

mod archive;
mod links;
pub(super) mod lock;
mod places;
pub(super) mod rewrite;
mod tree;

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::{Digest, Hasher};

use archive::Archive;
use lock::{Lock, Package};
pub(super) use places::LINKS;

/// Changes when another tree is made of the same packages.
const REVISION: &[u8] = b"5";

/// The letters of a store path's digest (Nix's manual, "Store path").
const LETTERS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// The payload, unpacked.
pub(super) struct Payload {
    /// What is laid over `/nix`.
    pub(super) layer: Utf8PathBuf,
    /// Its path in the store.
    pub(super) path: String,
    /// What each package has, as places below that path.
    pub(super) files: BTreeMap<String, Vec<String>>,
}

/// The payload of a lock, from the cache or made.
pub(super) fn prepare(lock: &Lock, cache: &Utf8Path, log: &Utf8Path) -> anyhow::Result<Payload> {
    let digest = key(lock);
    let letters = digest.bytes().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let path = format!("/nix/store/{}-debian-payload", letters.collect::<String>());
    let folder = cache.join(format!("payload-{}", digest.short()));
    let lists = folder.join("lists");
    if !lists.is_dir() {
        let debs = fetch(lock, cache, log)?;
        // Not under its name until it is whole; what was unpacked is taken up again.
        let new = cache.join(format!("payload-{}.new", digest.short()));
        tree::unpack(&lock.packages, &debs, &new, &path, log)?;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(&new, &folder)?;
    }
    let mut files = BTreeMap::new();
    for entry in lists.read_dir_utf8()? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        files.insert(entry.file_name().to_owned(), text.lines().map(str::to_owned).collect());
    }
    Ok(Payload { layer: folder.join("layer"), path, files })
}

/// What the archive has now of the packages.
pub(super) fn resolve(suite: &str, names: &[&str], cache: &Utf8Path, log: &Utf8Path) -> anyhow::Result<Lock> {
    fs::create_dir_all(cache)?;
    Archive::open(suite, cache, log)?.resolve(suite, names)
}

pub(super) fn key(lock: &Lock) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field("lock", lock.render().as_bytes()).field("revision", REVISION);
    hasher.finish()
}

/// Brings what is missing into the cache; gives its folder.
fn fetch(lock: &Lock, cache: &Utf8Path, log: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let debs = cache.join("debs");
    fs::create_dir_all(&debs)?;
    let missing: Vec<&Package> = lock
        .packages
        .iter()
        .filter(|package| !debs.join(archive::file_name(&package.sha256)).exists())
        .collect();
    if !missing.is_empty() {
        Archive::open(&lock.suite, cache, log)?.download(&missing, &debs)?;
    }
    Ok(debs)
}
