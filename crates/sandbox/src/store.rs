//! The sandboxes of a state folder.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_audit::{Event, Files, Kept, kept};
use rave_net::Log;

use crate::error::Error;
use crate::file_system::refuse_of_many;
use crate::files::{private_dir, remove_all};
use crate::life_lock::LifeLock;
use crate::limits::Limits;
use crate::name::SandboxName;
use crate::network::{Change, NetworkStatus};
use crate::place::Place;
use crate::record::Record;
use crate::unix_time::now;
use crate::{audit, network, restore};

/// The prefix of the folder of a sandbox that is being removed.
const REMOVED: &str = ".removed-";
/// The prefix of the folder of a moment for a single command, which holds the lock in it.
pub(crate) const PASSING: &str = ".moment-";

/// The folder `sandboxes` of the state folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: Utf8PathBuf,
}

impl Store {
    /// The sandboxes of this state folder, which need not exist yet.
    pub fn new(state_dir: &Utf8Path) -> Self {
        Self { root: state_dir.join("sandboxes") }
    }

    /// The folder; it may not exist yet.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The file of the limits for all sandboxes together.
    pub(crate) fn limits_file(&self) -> Utf8PathBuf {
        self.root.with_file_name("sandbox-limits.json")
    }

    /// The limits for all sandboxes together, as last saved.
    pub(crate) fn limits(&self) -> Limits {
        serde_json::from_slice(&fs::read(self.limits_file()).unwrap_or_default()).unwrap_or_default()
    }

    /// The folder of turns to start.
    pub(crate) fn starts(&self) -> Utf8PathBuf {
        self.root.with_file_name("starts")
    }

    /// The folder of audit records that outlive their sandboxes.
    fn audit(&self) -> Utf8PathBuf {
        self.root.with_file_name("audit")
    }

    /// Audit records of removed sandboxes of this name, the latest last.
    pub fn earlier_audits(&self, name: &SandboxName) -> Result<Vec<Kept>, Error> {
        Ok(kept(&self.audit())?.into_iter().filter(|one| one.sandbox == name.as_str()).collect())
    }

    /// Audit records that have expired at `now`, seconds since 1970.
    pub fn expired_audits(&self, now: u64) -> Result<Vec<Kept>, Error> {
        Ok(kept(&self.audit())?.into_iter().filter(|one| one.until <= now).collect())
    }

    /// The files of a sandbox, whether it exists or not.
    pub fn place(&self, name: &SandboxName) -> Place {
        Place::new(&self.root, name.clone())
    }

    /// The record of a sandbox; `None` if it does not exist.
    pub fn find(&self, name: &SandboxName) -> Result<Option<Record>, Error> {
        self.refuse_foreign(self.place(name).folder())?;
        let path = self.place(name).record();
        match fs::read(&path) {
            Ok(bytes) => Record::parse(&path, &bytes).map(Some),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// The record of a sandbox, which must exist.
    pub fn get(&self, name: &SandboxName) -> Result<Record, Error> {
        self.find(name)?.ok_or_else(|| Error::Unknown { name: name.clone() })
    }

    /// The names of all sandboxes, sorted, including those with unreadable records.
    pub fn names(&self) -> Result<Vec<SandboxName>, Error> {
        self.refuse_foreign(&self.root)?;
        let entries = match self.root.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", &self.root, error)),
        };
        let known = |name: &SandboxName| self.place(name).record().exists();
        let mut names: Vec<SandboxName> =
            entries.flatten().filter_map(|entry| entry.file_name().parse().ok()).filter(known).collect();
        names.sort();
        Ok(names)
    }

    /// Creates the folder of a sandbox and takes its lock. Also removes what killed commands left of other sandboxes.
    pub fn claim(&self, name: &SandboxName, on_wait: &mut dyn FnMut()) -> Result<LifeLock, Error> {
        self.refuse_foreign(self.place(name).folder())?;
        self.sweep();
        private_dir(&self.root)?;
        loop {
            let place = self.place(name);
            private_dir(place.folder())?;
            match LifeLock::take(&place, on_wait) {
                // Removed in between: create it again.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Ok(lock) if place.has_record() => return finished(&place, lock),
                other => return other,
            }
        }
    }

    /// Takes the lock of an existing sandbox with an unreadable record.
    pub fn lock_unreadable(&self, name: &SandboxName, on_wait: &mut dyn FnMut()) -> Result<LifeLock, Error> {
        self.refuse_foreign(self.place(name).folder())?;
        LifeLock::take(&self.place(name), on_wait)
    }

    /// Refuses folders of another user: their contents may be crafted to harm this user, and the other user could not
    /// change what this one writes there.
    fn refuse_foreign(&self, folder: &Utf8Path) -> Result<(), Error> {
        refuse_of_many(folder)?;
        let own = rustix::process::geteuid().as_raw();
        for path in [&*self.root, folder] {
            match fs::metadata(path) {
                Ok(about) if about.uid() != own => {
                    return Err(Error::OtherUsers { path: path.to_owned(), owner: about.uid() });
                }
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Err(Error::io("read", path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the lock of a sandbox, which must exist.
    pub fn lock(&self, name: &SandboxName, on_wait: &mut dyn FnMut()) -> Result<LifeLock, Error> {
        self.get(name)?;
        let lock = LifeLock::take(&self.place(name), on_wait);
        match lock {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Err(Error::Unknown { name: name.clone() })
            }
            lock => finished(&self.place(name), lock?),
        }
    }

    /// The network of a stopped sandbox, after this change.
    pub fn network_of_stopped(
        &self,
        name: &SandboxName,
        wanted: &Change,
        _lock: &LifeLock,
    ) -> Result<NetworkStatus, Error> {
        let place = self.place(name);
        let policy = network::changed(&place, wanted)?;
        if !wanted.is_empty() {
            audit::note(&place, &wanted.event(policy.mode))?;
            network::write(&place, &policy)?;
        }
        Ok(NetworkStatus {
            policy,
            log: Log::read(&place.network_log()),
            is_attached: false,
            halted: None,
            secrets: Vec::new(),
        })
    }

    /// Removes a stopped sandbox atomically: its folder is first renamed to a name that no sandbox has.
    pub fn remove(&self, place: &Place, lock: LifeLock) -> Result<(), Error> {
        self.take_away(place, lock)?;
        self.sweep();
        Ok(())
    }

    fn take_away(&self, place: &Place, _lock: LifeLock) -> Result<(), Error> {
        // A full disk is a reason to remove the sandbox, so a failure here must not prevent that.
        let _ = audit::note(place, &Event::Removed);
        let removed = self.root.join(format!("{REMOVED}{}-{}", place.name(), std::process::id()));
        fs::rename(place.folder(), &removed).map_err(|e| Error::io("remove", place.folder(), e))?;
        free_space(&removed)?;
        self.keep_audit(&removed)?;
        remove_all(&removed)
    }

    /// Moves the audit record out of a folder that is being removed.
    fn keep_audit(&self, removed: &Utf8Path) -> Result<(), Error> {
        let keep = self.limits().keep_audit.unwrap_or(audit::KEEP);
        let name = removed.file_name().and_then(|name| name.strip_prefix(REMOVED)?.rsplit_once('-'));
        let Some((name, _)) = name.filter(|_| keep > 0) else { return Ok(()) };
        let now = now();
        Files::at(removed).keep(&self.audit(), name, now, now.saturating_add(keep))?;
        Ok(())
    }

    /// Removes what killed commands left behind.
    pub fn sweep(&self) {
        let Ok(entries) = self.root.read_dir_utf8() else { return };
        for entry in entries.flatten() {
            if entry.file_name().starts_with(REMOVED) {
                // The remover's lock moved with the folder, and is released after the record was kept.
                if !LifeLock::is_held(&entry.path().join("lock")) {
                    let freed = free_space(entry.path());
                    if freed.and_then(|()| self.keep_audit(entry.path())).is_ok() {
                        let _ = fs::remove_dir_all(entry.path());
                    }
                }
            } else if entry.file_name().starts_with(PASSING) {
                sweep_passing(entry.path());
            } else if let Ok(name) = entry.file_name().parse() {
                self.sweep_half(&self.place(&name));
            }
        }
    }

    /// Removes a folder that never became a sandbox. A process that waits for its lock notices that it is gone, and
    /// creates another.
    fn sweep_half(&self, place: &Place) {
        if place.has_record() {
            return;
        }
        let Ok(Some(lock)) = LifeLock::try_take(place) else { return };
        if !place.has_record() {
            let _ = self.take_away(place, lock); // the next sweep tries again
        }
    }
}

/// Removes the large files of a sandbox that is being removed: to keep its audit record may need space.
fn free_space(removed: &Utf8Path) -> Result<(), Error> {
    ["disk", "snapshots", "run"].iter().try_for_each(|name| remove_all(&removed.join(name)))
}

/// Removes a moment whose command is gone. The lock goes too: a process that creates a moment checks that its lock
/// still exists.
fn sweep_passing(folder: &Utf8Path) {
    match File::open(folder.join("lock")) {
        Ok(lock) if lock.try_lock().is_ok() => {
            let _ = fs::remove_dir_all(folder);
        }
        // The lock is created first, and removed first: what is there without it, a supervisor made for a command that
        // was gone.
        Err(error) if error.kind() == ErrorKind::NotFound && fs::remove_dir(folder).is_err() => {
            let path = folder.join("lock");
            let lock = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_dir_all(folder);
            }
        }
        _ => {}
    }
}

/// Completes or removes what a killed restore left, before the caller uses the sandbox.
fn finished(place: &Place, lock: LifeLock) -> Result<LifeLock, Error> {
    restore::finish(place, &lock)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8Path::from_path(folder.path()).unwrap());
        (folder, store)
    }

    #[test]
    fn leftovers_of_a_killed_removal_are_not_listed_and_the_next_command_removes_them() {
        let (_folder, store) = store();
        let left = store.root().join(".removed-demo-1");
        fs::create_dir_all(left.join("disk")).unwrap();
        fs::write(left.join("record.json"), "{}").unwrap();
        // An `up` that was killed before saving the record: the sandbox does not exist, and its folder is reused.
        fs::create_dir(store.root().join("half")).unwrap();
        assert_eq!(store.names().unwrap(), []);
        let name: SandboxName = "half".parse().unwrap();
        assert!(store.find(&name).unwrap().is_none());
        drop(store.claim(&name, &mut || ()).unwrap());
        assert!(!left.exists());
    }

    #[test]
    fn files_of_a_running_removal_are_not_removed_by_another() {
        let (_folder, store) = store();
        let left = store.root().join(".removed-demo-1");
        fs::create_dir_all(&left).unwrap();
        let lock = File::create(left.join("lock")).unwrap();
        lock.lock().unwrap();
        store.sweep();
        assert!(left.exists());
        drop(lock);
        store.sweep();
        assert!(!left.exists());
    }

    #[test]
    fn folders_of_other_users_are_refused() {
        if !rustix::process::geteuid().is_root() {
            rave_testing::skip!("only root can change the owner of a folder");
        }
        let (_folder, store) = store();
        let name: SandboxName = "demo".parse().unwrap();
        drop(store.claim(&name, &mut || ()).unwrap());
        std::os::unix::fs::chown(store.place(&name).folder(), Some(65_534), None).unwrap();
        let error = store.claim(&name, &mut || ()).unwrap_err();
        assert!(error.to_string().ends_with("belongs to another user (uid 65534)"), "{error}");
        assert!(matches!(store.find(&name), Err(Error::OtherUsers { .. })));
        std::os::unix::fs::chown(store.root(), Some(65_534), None).unwrap();
        assert!(matches!(store.names(), Err(Error::OtherUsers { .. })));
    }

    #[test]
    fn the_disk_is_removed_even_if_the_audit_record_cannot_be_kept() {
        let (_folder, store) = store();
        let name: SandboxName = "demo".parse().unwrap();
        let lock = store.claim(&name, &mut || ()).unwrap();
        let place = store.place(&name);
        fs::create_dir(place.disk().folder()).unwrap();
        audit::begin(&place).unwrap();
        fs::write(store.audit(), "in the way").unwrap();
        store.remove(&place, lock).unwrap_err();
        let left: Vec<_> = store.root().read_dir_utf8().unwrap().flatten().collect();
        assert!(left[0].file_name().starts_with(REMOVED) && !left[0].path().join("disk").exists());
        fs::remove_file(store.audit()).unwrap();
        store.sweep();
        assert_eq!(store.root().read_dir_utf8().unwrap().count(), 0);
        assert_eq!(store.earlier_audits(&name).unwrap().len(), 1);
    }

    #[test]
    fn a_moment_that_was_made_for_a_gone_command_is_removed() {
        let (_folder, store) = store();
        let moment = store.root().join(format!("{PASSING}4711"));
        fs::create_dir_all(&moment).unwrap();
        fs::write(moment.join("disk.qcow2"), "late").unwrap();
        store.sweep();
        assert!(!moment.exists());
    }

    #[test]
    fn an_abandoned_folder_is_removed_and_one_in_use_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8Path::from_path(scratch.path()).unwrap());
        let name = |text: &str| text.parse::<SandboxName>().unwrap();
        let half = store.claim(&name("half"), &mut || {}).unwrap();
        fs::create_dir(store.place(&name("half")).disk().folder()).unwrap();
        let making = store.claim(&name("making"), &mut || {}).unwrap();
        let made = store.claim(&name("made"), &mut || {}).unwrap();
        fs::write(store.place(&name("made")).record(), "unreadable").unwrap();
        drop((half, made));
        store.sweep();
        let exists = |text| store.place(&name(text)).folder().exists();
        assert_eq!([exists("half"), exists("making"), exists("made")], [false, true, true]);
        drop(making);
        drop(store.claim(&name("half"), &mut || panic!("nothing holds the lock")).unwrap());
        assert!(exists("half") && !exists("making"));
    }
}
