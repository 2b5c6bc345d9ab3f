//! Moments of a sandbox that it can be restored to.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::layers::share;
use rave_vm::moment::{Moment, Saved};
use serde::{Deserialize, Serialize};

use crate::control::Connection;
use crate::error::Error;
use crate::files::{copy, private_dir, remove_all, save, sync};
use crate::fork::{self, Taken};
use crate::life_lock::LifeLock;
use crate::name::{BadName, SandboxName};
use crate::place::Place;
use crate::restore::{IDENTITY, Restoring};
use crate::unix_time::now;

/// The name of a snapshot. It follows the rules for sandboxes, because it is a folder's name too.
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
    /// What it contains; `None` if it is damaged.
    pub saved: Option<Saved>,
    /// How it is damaged.
    pub damage: Option<String>,
    /// What it uses on the host, bytes; the size of shared files is divided.
    pub bytes: u64,
}

/// `snapshot.json`, written last.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    when: u64,
}

const ABOUT: &str = "snapshot.json";

/// The prefix of the folder of a snapshot that is being taken.
const NEW: &str = ".new";

/// The folder of a snapshot that is being removed.
const OLD: &str = ".old";

/// The folder of a snapshot.
pub fn folder(place: &Place, label: &Label) -> Utf8PathBuf {
    place.snapshots().join(label.to_string())
}

/// All snapshots of a sandbox, the oldest first.
pub fn list(place: &Place) -> Result<Vec<Snapshot>, Error> {
    let root = place.snapshots();
    let entries = match root.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", &root, error)),
    };
    let labels = entries.flatten().filter_map(|entry| entry.file_name().parse::<Label>().ok());
    let mut all: Vec<Snapshot> = labels.map(|label| examine(place, label)).collect();
    all.sort_by(|one, other| (one.when, &one.label).cmp(&(other.when, &other.label)));
    Ok(all)
}

fn examine(place: &Place, label: Label) -> Snapshot {
    let folder = folder(place, &label);
    let about = fs::read(folder.join(ABOUT)).ok();
    let about: Option<About> = about.and_then(|text| serde_json::from_slice(&text).ok());
    let checked = Moment::at(&folder).check();
    let sizes = sizes_of(&folder);
    let damage = checked.as_ref().err().map(ToString::to_string);
    Snapshot {
        when: about.map(|about| about.when).unwrap_or_default(),
        saved: checked.ok(),
        damage,
        bytes: sizes.disk + sizes.memory,
        label,
    }
}

/// What snapshots use on the host, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) disk: u64,
    /// Includes the state of the devices.
    pub(crate) memory: u64,
}

/// The sizes of all snapshots of a sandbox.
pub(crate) fn sizes(place: &Place) -> Sizes {
    let folders = place.snapshots().read_dir_utf8().into_iter().flatten().flatten();
    folders.map(|entry| sizes_of(entry.path())).fold(Sizes::default(), |all, one| Sizes {
        disk: all.disk + one.disk,
        memory: all.memory + one.memory,
    })
}

/// Images and templates are counted elsewhere.
fn sizes_of(folder: &Utf8Path) -> Sizes {
    let mut sizes = Sizes::default();
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        match entry.file_name() {
            name if name.starts_with("disk") => sizes.disk += share(entry.path()),
            "memory" | "devices" => sizes.memory += share(entry.path()),
            _ => {}
        }
    }
    sizes
}

/// Takes a snapshot, completely or not at all. `keep` saves files that belong to the disk to the snapshot's folder
/// before the disk is frozen: if they are older than the disk, nothing is lost.
pub fn take(
    place: &Place,
    connection: Option<&mut Connection>,
    label: &Label,
    keep: &mut dyn FnMut(&Utf8Path) -> Result<(), Error>,
    lock: &LifeLock,
) -> Result<Taken, Error> {
    let refused = |why: String| Error::Refused { name: place.name().clone(), why };
    let target = folder(place, label);
    if target.exists() {
        return Err(refused(format!(
            "it already has a snapshot {label}; remove it first, or use another label"
        )));
    }
    private_dir(&place.snapshots())?;
    sweep(place, None);
    // No label begins with a dot. The name is unique to this process, because the supervisor completes what a killed
    // command requested.
    let new = place.snapshots().join(format!("{NEW}{}", std::process::id()));
    remove_all(&new)?;
    private_dir(&new)?;
    let moment = Moment::at(&new);
    let taken = keep(&new).and_then(|()| fork::take(place, connection, &moment, lock)).and_then(|taken| {
        copy(&place.identity(), &new.join(IDENTITY))?;
        save(&new.join(ABOUT), &About { when: now() })?;
        sync(&new)?;
        fs::rename(&new, &target).map_err(|e| Error::io("create", &target, e))?;
        Ok(taken)
    });
    if taken.is_err() {
        let _ = remove_all(&new); // report the first error
    }
    // Sweep again: the supervisor saves one moment after another, so the other folders are no longer being written.
    sweep(place, Some(&new));
    taken
}

/// Removes what killed commands have begun, except our own folder; leftovers are removed by the next command.
fn sweep(place: &Place, own: Option<&Utf8Path>) {
    for entry in place.snapshots().read_dir_utf8().into_iter().flatten().flatten() {
        let is_left = [NEW, OLD].iter().any(|left| entry.file_name().starts_with(left));
        if is_left && own != Some(entry.path()) {
            let _ = remove_all(entry.path());
        }
    }
}

/// Removes a snapshot atomically.
pub fn remove(place: &Place, label: &Label, _lock: &LifeLock) -> Result<(), Error> {
    let (target, removed) = (folder(place, label), place.snapshots().join(OLD));
    remove_all(&removed)?;
    match fs::rename(&target, &removed) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(unknown(place, label)),
        Err(error) => Err(Error::io("remove", &target, error)),
        Ok(()) => remove_all(&removed),
    }
}

fn unknown(place: &Place, label: &Label) -> Error {
    Error::UnknownSnapshot { name: place.name().clone(), label: label.to_string() }
}

/// What a snapshot contains, if it is intact.
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

/// Prepares to restore a sandbox from a snapshot, leaving the sandbox unchanged so far. `bring` copies what `keep` of
/// [`take`] saved from the snapshot's folder to another.
pub fn prepare(
    place: &Place,
    label: &Label,
    bring: &mut dyn FnMut(&Utf8Path, &Utf8Path) -> Result<(), Error>,
    _lock: &LifeLock,
) -> Result<Restoring, Error> {
    let saved = check(place, label)?;
    let from = folder(place, label);
    Restoring::prepare(place, saved, |disk, staging| {
        let moment = Moment::at(&from);
        moment.begin_disk(disk)?;
        if saved == Saved::Memory {
            moment.hold_in(disk)?;
        }
        copy(&from.join(IDENTITY), &staging.join(IDENTITY))?;
        bring(&from, staging)
    })
}

#[cfg(test)]
mod tests;
