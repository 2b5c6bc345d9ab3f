//! The cache of finished stages: `<cache>/stages/<stage>-<key>/`. Each folder is written under a temporary name and
//! renamed, so that a folder under its final name is complete.

use std::fs;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// How many finished results of one stage are kept; older ones are removed when a new one is added.
const KEPT_PER_STAGE: usize = 3;

/// Below the cache.
const FOLDER: &str = "stages";

const PARTIAL: &str = ".partial";

/// The folder of a finished stage.
pub fn place(cache_dir: &Utf8Path, stage: &str, key: &Digest) -> Utf8PathBuf {
    cache_dir.join(FOLDER).join(format!("{stage}-{}", key.short()))
}

/// The folder of finished stages. The caller holds the cache's lock.
#[derive(Debug, Clone)]
pub struct StageCache {
    root: Utf8PathBuf,
}

/// A finished stage's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedStage {
    path: Utf8PathBuf,
}

impl CachedStage {
    /// A file of the finished stage.
    pub fn file(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }
}

/// A stage's folder while it is filled; removed on drop unless committed.
#[derive(Debug)]
pub struct PendingStage {
    partial: Utf8PathBuf,
    place: Utf8PathBuf,
    committed: bool,
}

impl StageCache {
    /// Opens the cache and removes leftovers of killed builds. The caller holds the cache's lock, so a partial folder
    /// has no live owner.
    pub fn open(cache_dir: &Utf8Path) -> Result<Self, Error> {
        let root = cache_dir.join(FOLDER);
        fs::create_dir_all(&root).at("create", &root)?;
        for name in names(&root)?.iter().filter(|name| name.ends_with(PARTIAL)) {
            let path = root.join(name);
            fs::remove_dir_all(&path).at("remove", &path)?;
        }
        Ok(Self { root })
    }

    /// The finished result of a stage, if there is one.
    pub fn get(&self, stage: &str, key: &Digest) -> Option<CachedStage> {
        let path = self.place(stage, key);
        // The folder's modification time records its last use.
        let _ = fs::File::open(&path).and_then(|folder| folder.set_modified(SystemTime::now()));
        path.is_dir().then_some(CachedStage { path })
    }

    /// Starts a new result.
    pub fn begin(&self, stage: &str, key: &Digest) -> Result<PendingStage, Error> {
        let place = self.place(stage, key);
        let partial = Utf8PathBuf::from(format!("{place}{PARTIAL}"));
        fs::create_dir(&partial).at("create", &partial)?;
        Ok(PendingStage { partial, place, committed: false })
    }

    /// Removes the oldest results of a stage beyond the kept number.
    pub fn prune(&self, stage: &str) -> Result<(), Error> {
        let mut found: Vec<(SystemTime, Utf8PathBuf)> = names(&self.root)?
            .into_iter()
            .filter(|name| name.rsplit_once('-').is_some_and(|(prefix, _)| prefix == stage))
            .map(|name| self.root.join(name))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        for (_, path) in found.into_iter().skip(KEPT_PER_STAGE) {
            fs::remove_dir_all(&path).at("remove", &path)?;
        }
        Ok(())
    }

    fn place(&self, stage: &str, key: &Digest) -> Utf8PathBuf {
        self.root.join(format!("{stage}-{}", key.short()))
    }
}

impl PendingStage {
    /// A file to write.
    pub fn file(&self, name: &str) -> Utf8PathBuf {
        self.partial.join(name)
    }

    /// Makes the result final, in place of an older one with the same key.
    pub fn commit(mut self) -> Result<CachedStage, Error> {
        if self.place.exists() {
            fs::remove_dir_all(&self.place).at("remove", &self.place)?;
        }
        fs::rename(&self.partial, &self.place).at("rename into", &self.place)?;
        self.committed = true;
        Ok(CachedStage { path: self.place.clone() })
    }
}

impl Drop for PendingStage {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn names(folder: &Utf8Path) -> Result<Vec<String>, Error> {
    let entries = folder.read_dir_utf8().at("list", folder)?;
    entries.map(|entry| Ok(entry.at("list", folder)?.file_name().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn an_uncommitted_result_is_never_visible_and_a_killed_one_is_swept() {
        let (_guard, cache) = temporary();
        let key = Digest::of_bytes(b"key");
        let store = StageCache::open(&cache).unwrap();
        let pending = store.begin("rootfs", &key).unwrap();
        fs::write(pending.file("root.tar"), "half").unwrap();
        assert_eq!(store.get("rootfs", &key), None);
        std::mem::forget(pending); // as a SIGKILL would leave it
        let store = StageCache::open(&cache).unwrap();
        assert_eq!(names(&cache.join("stages")).unwrap(), Vec::<String>::new());
        let pending = store.begin("rootfs", &key).unwrap();
        fs::write(pending.file("root.tar"), "whole").unwrap();
        let entry = pending.commit().unwrap();
        assert_eq!(store.get("rootfs", &key), Some(entry.clone()));
        assert_eq!(fs::read_to_string(entry.file("root.tar")).unwrap(), "whole");
    }

    #[test]
    fn only_the_newest_results_of_each_stage_are_kept() {
        let (_guard, cache) = temporary();
        let store = StageCache::open(&cache).unwrap();
        let keys: Vec<Digest> = (0..5_u8).map(|n| Digest::of_bytes(&[n])).collect();
        for (age, key) in keys.iter().enumerate() {
            store.begin("disk", key).unwrap().commit().unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age as u64);
            fs::File::open(store.place("disk", key)).unwrap().set_modified(time).unwrap();
        }
        store.begin("disk-x", &keys[0]).unwrap().commit().unwrap();
        store.prune("disk").unwrap();
        let kept: Vec<bool> = keys.iter().map(|key| store.place("disk", key).exists()).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        assert!(store.place("disk-x", &keys[0]).exists());
    }
}
