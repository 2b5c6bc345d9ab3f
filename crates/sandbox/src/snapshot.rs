//! Moments of a sandbox that it can go back to.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_vm::layers::share;
use rave_vm::moment::{Moment, Saved};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::control::Connection;
use crate::error::Error;
use crate::fork::{self, Taken};
use crate::life_lock::LifeLock;
use crate::name::{BadName, SandboxName};
use crate::place::Place;
use crate::store::{private_dir, remove_all};
use crate::unix_time::now;

/// The name of a snapshot: as that of a sandbox, for it is a folder's name too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label(SandboxName);

impl FromStr for Label {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        text.parse().map(Self).map_err(|bad: BadName| bad.of("a snapshot"))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub label: Label,
    /// When it was taken, seconds since 1970.
    pub when: u64,
    /// What it has; nothing where it is damaged.
    pub saved: Option<Saved>,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// What it takes on the host, bytes; files that others have too count in part.
    pub bytes: u64,
}

/// `snapshot.json`, written last.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    when: u64,
}

const ABOUT: &str = "snapshot.json";

/// The folder of a snapshot.
pub fn folder(place: &Place, label: &Label) -> Utf8PathBuf {
    place.snapshots().join(label.to_string())
}

/// All of a sandbox, the oldest first.
pub fn list(place: &Place) -> Result<Vec<Snapshot>, Error> {
    let root = place.snapshots();
    let entries = match root.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", &root, error)),
    };
    let labels = entries.flatten().filter_map(|entry| entry.file_name().parse::<Label>().ok());
    let mut all: Vec<Snapshot> = labels.map(|label| look(place, label)).collect();
    all.sort_by(|one, other| (one.when, &one.label).cmp(&(other.when, &other.label)));
    Ok(all)
}

fn look(place: &Place, label: Label) -> Snapshot {
    let folder = folder(place, &label);
    let about = fs::read(folder.join(ABOUT)).ok();
    let about: Option<About> = about.and_then(|text| serde_json::from_slice(&text).ok());
    let checked = Moment::at(&folder).check();
    let damage = checked.as_ref().err().map(ToString::to_string);
    Snapshot {
        when: about.map(|about| about.when).unwrap_or_default(),
        saved: checked.ok(),
        damage,
        bytes: size_of(&folder),
        label,
    }
}

/// What all of a sandbox take on the host, bytes.
pub(crate) fn size(place: &Place) -> u64 {
    let folders = place.snapshots().read_dir_utf8().into_iter().flatten().flatten();
    folders.map(|entry| size_of(entry.path())).sum()
}

/// Images and templates are others'.
fn size_of(folder: &Utf8Path) -> u64 {
    let files = folder.read_dir_utf8().into_iter().flatten().flatten();
    let is_own = |name: &str| name.starts_with("disk") || name == "memory" || name == "devices";
    files.filter(|entry| is_own(entry.file_name())).map(|entry| share(entry.path())).sum()
}

/// Takes a snapshot: it is there whole, or not at all.
pub fn take(
    place: &Place,
    connection: Option<&mut Connection>,
    label: &Label,
    keep: &mut dyn FnMut(&Utf8Path) -> Result<(), Error>,
    lock: &LifeLock,
) -> Result<Taken, Error> {
    let refused = |why: String| Error::Refused { name: place.name().clone(), why };
    let there = folder(place, label);
    if there.exists() {
        return Err(refused(format!(
            "it has a snapshot {label} already; remove it first, or use another label"
        )));
    }
    private_dir(&place.snapshots())?;
    // No label begins with a dot.
    let new = place.snapshots().join(".new");
    remove_all(&new)?;
    private_dir(&new)?;
    let moment = Moment::at(&new);
    let taken = fork::take(place, connection, &moment, lock).and_then(|taken| {
        copy(&place.identity(), &new.join("identity.json"))?;
        keep(&new)?;
        let path = new.join(ABOUT);
        let text =
            serde_json::to_vec(&About { when: now() }).map_err(|e| Error::io("write", &path, e.into()))?;
        Replace::new(&path).mode(0o600).write(text).map_err(|e| Error::io("write", &path, e))?;
        sync(&new)?;
        fs::rename(&new, &there).map_err(|e| Error::io("make", &there, e))?;
        Ok(taken)
    });
    if taken.is_err() {
        let _ = remove_all(&new); // the first error is the one to tell
    }
    taken
}

/// What carries a label is on the disk.
fn sync(folder: &Utf8Path) -> Result<(), Error> {
    let entries = folder.read_dir_utf8().map_err(|e| Error::io("list", folder, e))?;
    for entry in entries.flatten() {
        let failed = |e| Error::io("write", entry.path(), e);
        File::open(entry.path()).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    File::open(folder).and_then(|file| file.sync_all()).map_err(|e| Error::io("write", folder, e))
}

/// Removes a snapshot; at once and whole.
pub fn remove(place: &Place, label: &Label, _lock: &LifeLock) -> Result<(), Error> {
    let (there, gone) = (folder(place, label), place.snapshots().join(".old"));
    remove_all(&gone)?;
    match fs::rename(&there, &gone) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(unknown(place, label)),
        Err(error) => Err(Error::io("remove", &there, error)),
        Ok(()) => remove_all(&gone),
    }
}

fn unknown(place: &Place, label: &Label) -> Error {
    Error::UnknownSnapshot { name: place.name().clone(), label: label.to_string() }
}

/// What a snapshot has, where it is whole.
pub fn check(place: &Place, label: &Label) -> Result<Saved, Error> {
    let folder = folder(place, label);
    if !folder.exists() {
        return Err(unknown(place, label));
    }
    let refused = |damage| Error::Refused {
        name: place.name().clone(),
        why: format!("its snapshot {label} is damaged: {damage}"),
    };
    Moment::at(&folder).check().map_err(refused)
}

/// Puts the sandbox, which does not run, back to a snapshot: what was on its disk is lost, and its next start goes on from there.
pub fn restore(place: &Place, label: &Label, _lock: &LifeLock) -> Result<Saved, Error> {
    let saved = check(place, label)?;
    let from = folder(place, label);
    let (disk, new) = (place.disk().folder().to_owned(), place.folder().join("disk.new"));
    remove_all(&new)?;
    let moment = Moment::at(&from);
    moment.begin_disk(&new)?;
    if saved == Saved::Memory {
        moment.hold_in(&new)?;
    }
    let (identity, before) = (from.join("identity.json"), place.identity_before());
    copy(&identity, &before)?;
    // In this order: a disk is never without the identity that it was written with, or it would be taken for a template's.
    renameat_with(CWD, new.as_std_path(), CWD, disk.as_std_path(), RenameFlags::EXCHANGE)
        .map_err(|e| Error::io("make", &disk, e.into()))?;
    if saved == Saved::Disk {
        if before.exists() {
            fs::rename(&before, place.identity()).map_err(|e| Error::io("make", place.identity(), e))?;
        }
    } else {
        match fs::remove_file(place.identity()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", place.identity(), error));
            }
            _ => {}
        }
    }
    remove_all(&new)?;
    Ok(saved)
}

/// Copies a small file, where it is there; what has the name goes.
fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    match fs::read(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::remove_file(to) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", to, error)),
            _ => Ok(()),
        },
        Err(error) => Err(Error::io("read", from, error)),
        Ok(text) => Replace::new(to).mode(0o600).write(text).map_err(|e| Error::io("write", to, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use rave_process::Cmd;

    struct Stopped {
        _scratch: tempfile::TempDir,
        place: Place,
        lock: LifeLock,
    }

    /// A sandbox that does not run, with a layer over an image.
    fn stopped() -> Stopped {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(scratch.path()).unwrap();
        let img = |words: &[&str]| drop(Cmd::new("qemu-img").args(words).output().unwrap());
        let image = root.join("image.qcow2");
        img(&["create", "-q", "-f", "qcow2", image.as_str(), "1M"]);
        let store = Store::new(root);
        let name: SandboxName = "demo".parse().unwrap();
        let (lock, place) = (store.claim(&name, &mut || {}).unwrap(), store.place(&name));
        place.disk().hold(&image, "d").unwrap();
        fs::write(place.disk().folder().join("manifest.json"), "{}").unwrap();
        begin(&place, "base.qcow2");
        Stopped { _scratch: scratch, place, lock }
    }

    /// What a start makes.
    fn begin(place: &Place, beneath: &str) {
        let active = place.layers().active().unwrap();
        let words =
            ["create", "-q", "-f", "qcow2", "-u", "-b", beneath, "-F", "qcow2", active.as_str(), "1M"];
        Cmd::new("qemu-img").args(words).output().unwrap();
    }

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    fn take_one(sandbox: &Stopped, text: &str) -> Result<Taken, Error> {
        take(&sandbox.place, None, &label(text), &mut |_| Ok(()), &sandbox.lock)
    }

    #[test]
    fn a_label_is_a_folders_name() {
        let long = "a".repeat(64);
        for bad in ["", "..", ".new", "a/b", "A", &long] {
            let error = bad.parse::<Label>().unwrap_err().to_string();
            assert!(error.contains("not a name for a snapshot"), "{error}");
        }
        assert_eq!(label("before-2").to_string(), "before-2");
    }

    #[test]
    fn a_sandbox_goes_back_to_the_disk_and_the_identity_that_it_had() {
        let sandbox = stopped();
        let place = &sandbox.place;
        fs::write(place.identity(), "then").unwrap();
        let taken = take_one(&sandbox, "one").unwrap();
        assert_eq!((taken.saved, place.layers().number().unwrap()), (Saved::Disk, 1));
        begin(place, "disk.qcow2");
        let error = take_one(&sandbox, "one").unwrap_err().to_string();
        assert!(error.contains("has a snapshot one already"), "{error}");
        take_one(&sandbox, "two").unwrap();
        begin(place, "disk-1.qcow2");
        fs::write(place.identity(), "now").unwrap();

        assert_eq!(restore(place, &label("one"), &sandbox.lock).unwrap(), Saved::Disk);
        assert_eq!(place.layers().number().unwrap(), 1);
        assert!(!place.layers().active().unwrap().exists(), "nothing is left of what was written since");
        assert_eq!(fs::read_to_string(place.identity()).unwrap(), "then");
        assert!(place.disk().base().is_some() && !place.identity_before().exists());
        // It can be gone back to again, and the later one too.
        restore(place, &label("two"), &sandbox.lock).unwrap();
        assert_eq!(place.layers().number().unwrap(), 2);
        remove(place, &label("two"), &sandbox.lock).unwrap();
        assert!(place.layers().file(1).exists(), "the disk has its own names");
        let labels: Vec<String> = list(place).unwrap().iter().map(|one| one.label.to_string()).collect();
        assert_eq!(labels, ["one"]);
        let error = restore(place, &label("two"), &sandbox.lock).unwrap_err();
        assert!(matches!(error, Error::UnknownSnapshot { .. }), "{error}");
    }

    #[test]
    fn what_a_killed_command_left_is_none_and_damage_is_told_before_anything_is_lost() {
        let sandbox = stopped();
        let place = &sandbox.place;
        private_dir(&place.snapshots()).unwrap();
        let half = place.snapshots().join(".new");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("memory"), "half").unwrap();
        assert!(list(place).unwrap().is_empty());
        take_one(&sandbox, "one").unwrap();
        assert!(!half.exists() && !folder(place, &label("one")).join("memory").exists());
        begin(place, "disk.qcow2");
        let active = place.layers().active().unwrap();
        fs::remove_file(folder(place, &label("one")).join("moment.json")).unwrap();
        assert!(list(place).unwrap()[0].damage.is_some());
        let error = restore(place, &label("one"), &sandbox.lock).unwrap_err().to_string();
        assert!(error.contains("is damaged") && active.exists(), "{error}");
        // One that could not be taken leaves nothing.
        let failed =
            take(place, None, &label("two"), &mut |_| Err(unknown(place, &label("x"))), &sandbox.lock);
        assert!(failed.is_err() && !half.exists() && list(place).unwrap().len() == 1);
    }
}
