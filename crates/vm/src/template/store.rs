//! The templates of a state folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::interrupt;

use super::check::Damage;
use super::files::Template;
use super::key::{Key, KeyId};
use crate::Error;
use crate::files::make_private_dir;

/// How often to retry a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(50);

/// The folder `templates` of a state folder: one folder per template, named after its key, and `NAME.lock` beside it.
/// Templates being made are called `.new-NAME`, those being removed `.old-NAME`.
#[derive(Debug, Clone)]
pub struct Templates {
    root: Utf8PathBuf,
}

/// The exclusive right to make, use and remove a template, until this is dropped or the process ends, for whatever
/// reason (flock(2)).
#[derive(Debug)]
pub struct TemplateLock {
    id: KeyId,
    _file: File,
}

/// The result of looking up a key.
#[derive(Debug)]
pub enum Found {
    /// A complete template.
    Whole(Template),
    /// A template that was changed since it was saved.
    Damaged(Damage),
    /// No template.
    Nothing,
}

impl Templates {
    /// The templates of this state folder, which need not exist yet.
    pub fn new(state_dir: &Utf8Path) -> Self {
        Self { root: state_dir.join("templates") }
    }

    /// Takes the lock of a key, waiting while another process holds it; in that case, `on_wait` is called once.
    pub fn lock(&self, id: &KeyId, on_wait: &mut dyn FnMut()) -> Result<TemplateLock, Error> {
        make_private_dir(&self.root)?;
        let mut notified = false;
        loop {
            if let Some(lock) = self.try_lock(id)? {
                return Ok(lock);
            }
            if !notified {
                on_wait();
                notified = true;
            }
            interrupt::pause(PAUSE)?;
        }
    }

    fn try_lock(&self, id: &KeyId) -> Result<Option<TemplateLock>, Error> {
        let path = self.root.join(format!("{id}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|e| Error::io("lock", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(TemplateLock { id: id.clone(), _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
        }
    }

    /// Finds the template of this key, and marks it as used.
    pub fn find(&self, key: &Key, lock: &TemplateLock) -> Found {
        let template = Template::at(&self.place(&lock.id));
        if !template.folder().exists() {
            return Found::Nothing;
        }
        match template.check() {
            Ok(found) if found == *key => {
                // Templates that were unused for longer are removed first.
                let used =
                    File::open(template.folder()).and_then(|file| file.set_modified(SystemTime::now()));
                drop(used);
                Found::Whole(template)
            }
            Ok(_) => Found::Damaged(Damage::of(template.folder(), "it is a template of something else")),
            Err(damage) => Found::Damaged(damage),
        }
    }

    fn place(&self, id: &KeyId) -> Utf8PathBuf {
        self.root.join(id.as_str())
    }

    /// An empty folder to make a template in, without the remains of a killed process.
    pub(super) fn begin(&self, lock: &TemplateLock) -> Result<Template, Error> {
        let folder = self.root.join(format!(".new-{}", lock.id));
        remove_all(&folder)?;
        make_private_dir(&folder)?;
        Ok(Template::at(&folder))
    }

    /// Moves a new template into place, replacing an existing one.
    pub(super) fn commit(&self, new: &Template, lock: &TemplateLock) -> Result<Template, Error> {
        let place = self.place(&lock.id);
        self.remove(lock)?;
        fs::rename(new.folder(), &place).map_err(|e| Error::io("create", &place, e))?;
        File::open(&self.root)
            .and_then(|root| root.sync_all())
            .map_err(|e| Error::io("write", &self.root, e))?;
        Ok(Template::at(&place))
    }

    /// Removes a template atomically.
    pub fn remove(&self, lock: &TemplateLock) -> Result<(), Error> {
        let (place, old) = (self.place(&lock.id), self.root.join(format!(".old-{}", lock.id)));
        remove_all(&old)?;
        match fs::rename(&place, &old) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => result.map_err(|e| Error::io("remove", &place, e))?,
        }
        remove_all(&old)
    }

    /// Removes what killed processes left behind, then templates that no sandbox uses, least recently used first, until
    /// all together use at most `limit` bytes. Locked templates stay.
    pub fn prune(&self, limit: u64) -> Result<(), Error> {
        let mut whole = Vec::new();
        for id in self.ids()? {
            let Some(lock) = self.try_lock(&id)? else { continue };
            for left in [".new", ".old"] {
                remove_all(&self.root.join(format!("{left}-{id}")))?;
            }
            let template = Template::at(&self.place(&id));
            if let Ok(about) = fs::metadata(template.folder()) {
                whole.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), template.size(), lock));
            }
        }
        whole.sort_by_key(|(used, ..)| *used);
        let mut total: u64 = whole.iter().map(|(_, size, _)| size).sum();
        for (_, size, lock) in whole {
            if total <= limit {
                break;
            }
            if !Template::at(&self.place(&lock.id)).is_in_use() {
                self.remove(&lock)?;
                total -= size;
            }
        }
        Ok(())
    }

    /// The key ids of all locks.
    fn ids(&self) -> Result<Vec<KeyId>, Error> {
        let entries = match self.root.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", &self.root, error)),
        };
        let names = entries.flatten().filter_map(|entry| KeyId::of_lock(entry.file_name()));
        Ok(names.collect())
    }
}

impl Template {
    /// What it uses on the host in addition to the image, bytes.
    fn size(&self) -> u64 {
        let files = [self.memory(), self.disk(), self.devices()];
        // Blocks have 512 bytes (stat(2)).
        files.iter().filter_map(|file| fs::metadata(file).ok()).map(|about| about.blocks() * 512).sum()
    }

    /// Whether a sandbox uses it: its disk has another hard link then.
    fn is_in_use(&self) -> bool {
        fs::metadata(self.disk()).is_ok_and(|about| about.nlink() > 1)
    }
}

fn remove_all(folder: &Utf8Path) -> Result<(), Error> {
    rave_fs::remove_all(folder).map_err(|e| Error::io("remove", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::check::Description;
    use crate::template::key::tests::key;

    fn store() -> (tempfile::TempDir, Templates) {
        let scratch = tempfile::tempdir().unwrap();
        let store = Templates::new(Utf8Path::from_path(scratch.path()).unwrap());
        (scratch, store)
    }

    type Change = fn(&Template);

    /// A complete template whose memory has this many bytes.
    fn make(store: &Templates, key: &Key, bytes: usize) -> TemplateLock {
        let lock = store.lock(&key.id(), &mut || panic!("nothing holds the lock")).unwrap();
        let new = store.begin(&lock).unwrap();
        fs::write(new.memory(), vec![1; bytes]).unwrap();
        fs::write(new.disk(), "disk").unwrap();
        fs::write(new.devices(), "devices").unwrap();
        let description = Description::of(&new, key.clone()).unwrap();
        fs::write(new.description_file(), serde_json::to_vec(&description).unwrap()).unwrap();
        store.commit(&new, &lock).unwrap();
        lock
    }

    #[test]
    fn a_template_is_found_by_its_key_and_changes_are_reported() {
        let (_scratch, store) = store();
        let lock = make(&store, &key(), 10);
        let Found::Whole(template) = store.find(&key(), &lock) else { panic!("it was made") };
        let changes: [(&str, Change); 5] = [
            ("memory: it has changed", |t| fs::write(t.memory(), [2; 10]).unwrap()),
            ("template.qcow2: it has changed", |t| fs::write(t.disk(), "dis").unwrap()),
            ("devices: it has changed", |t| fs::write(t.devices(), "devicer").unwrap()),
            ("memory: No such file", |t| fs::remove_file(t.memory()).unwrap()),
            ("template.json: EOF", |t| fs::write(t.description_file(), "{").unwrap()),
        ];
        for (words, change) in changes {
            drop(store.remove(&lock));
            drop(make_second(&store, &lock));
            change(&template);
            let Found::Damaged(damage) = store.find(&key(), &lock) else { panic!("{words}") };
            assert!(damage.to_string().contains(words), "{damage}");
        }
    }

    fn make_second(store: &Templates, lock: &TemplateLock) -> Template {
        let new = store.begin(lock).unwrap();
        for file in [new.memory(), new.disk(), new.devices()] {
            fs::write(file, [1; 10]).unwrap();
        }
        let description = Description::of(&new, key()).unwrap();
        fs::write(new.description_file(), serde_json::to_vec(&description).unwrap()).unwrap();
        store.commit(&new, lock).unwrap()
    }

    #[test]
    fn leftovers_of_a_killed_build_are_ignored_and_removed() {
        let (_scratch, store) = store();
        let lock = store.lock(&key().id(), &mut || {}).unwrap();
        let new = store.begin(&lock).unwrap();
        fs::write(new.memory(), "half").unwrap();
        assert!(matches!(store.find(&key(), &lock), Found::Nothing));
        store.prune(u64::MAX).unwrap();
        assert!(new.folder().exists(), "its maker still works on it");
        drop(lock);
        store.prune(u64::MAX).unwrap();
        assert!(!new.folder().exists());
    }

    #[test]
    fn the_least_recently_used_unreferenced_template_is_removed_first() {
        let (_scratch, store) = store();
        let keys: Vec<Key> = (1..=3).map(|cpus| Key { cpus, ..key() }).collect();
        for (number, key) in (1..).zip(&keys) {
            let lock = make(&store, key, 100_000);
            let folder = File::open(store.place(&lock.id)).unwrap();
            folder.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(number)).unwrap();
        }
        let present = || -> Vec<u32> {
            keys.iter().filter(|key| store.place(&key.id()).exists()).map(|key| key.cpus).collect()
        };
        // The first is in use by a sandbox, the second is being used by a command.
        let sandbox = store.root.join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let first = Template::at(&store.place(&keys[0].id())).hold_in(&sandbox).unwrap();
        store.prune(u64::MAX).unwrap();
        assert_eq!(present(), [1, 2, 3]);
        store.prune(250_000).unwrap();
        assert_eq!(present(), [1, 3]);
        let busy = store.lock(&keys[2].id(), &mut || {}).unwrap();
        store.prune(0).unwrap();
        assert_eq!(present(), [1, 3]);
        drop(busy);
        first.forget().unwrap();
        store.prune(0).unwrap();
        assert!(present().is_empty());
    }

    #[test]
    fn a_clone_keeps_the_files_of_its_template() {
        let (_scratch, store) = store();
        let lock = make(&store, &key(), 10);
        let Found::Whole(template) = store.find(&key(), &lock) else { panic!("it was made") };
        let folder = store.root.join("clone");
        fs::create_dir(&folder).unwrap();
        let clone = template.hold_in(&folder).unwrap();
        store.remove(&lock).unwrap();
        assert_eq!(clone.check().unwrap(), key());
        clone.forget_memory().unwrap();
        assert!(clone.disk().exists() && !clone.memory().exists());
    }
}
