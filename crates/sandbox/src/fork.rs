//! Sandboxes that resume from the same moment of another.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_vm::keys::KeyPair;
use rave_vm::moment::{Moment, Saved};

use crate::control::Connection;
use crate::error::Error;
use crate::files::{copy, private_dir, remove, remove_all, save};
use crate::life_lock::LifeLock;
use crate::name::SandboxName;
use crate::network;
use crate::place::Place;
use crate::record::{Parent, PortChoice, Record};
use crate::store::{PASSING, Store};
use crate::unix_time::now;

/// How a moment was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What it contains.
    pub saved: Saved,
    /// How long the machine was paused, if it was running.
    pub paused: Option<Duration>,
}

/// A moment for a single command: forks made from it have hard links to its files.
#[derive(Debug)]
pub struct Passing {
    folder: Utf8PathBuf,
    /// Locked as long as the moment is in use (flock(2)).
    _lock: File,
}

impl Passing {
    /// An empty moment. Removes what killed commands left behind.
    pub fn new(store: &Store) -> Result<Self, Error> {
        store.sweep();
        let folder = store.root().join(format!("{PASSING}{}", std::process::id()));
        remove_all(&folder)?;
        let path = folder.join("lock");
        loop {
            private_dir(&folder)?;
            let lock = match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path) {
                // Another process swept it away: create it again.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                lock => lock.map_err(|e| Error::io("lock", &path, e))?,
            };
            lock.lock().map_err(|e| Error::io("lock", &path, e))?;
            if path.exists() {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Its files.
    pub fn moment(&self) -> Moment {
        Moment::at(&self.folder)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // the next command sweeps
    }
}

/// Saves a sandbox at this moment: a running one with its memory, by its supervisor; otherwise only its disk.
pub fn take(
    place: &Place,
    connection: Option<&mut Connection>,
    moment: &Moment,
    _lock: &LifeLock,
) -> Result<Taken, Error> {
    if let Some(connection) = connection {
        let paused = connection.freeze(moment.folder())?;
        return Ok(Taken { saved: Saved::Memory, paused: Some(paused) });
    }
    let refused = |why: &str| Error::Refused { name: place.name().clone(), why: why.to_owned() };
    let is_anothers = place.template().disk().exists() || place.moment().exists() || place.fork().exists();
    if is_anothers && !place.identity().exists() {
        return Err(refused(
            "it was never started, or will resume from a snapshot at its next start: start it first",
        ));
    }
    let (layers, on) =
        (place.layers(), place.on().ok_or_else(|| refused("the image of its disk is missing"))?);
    let top = layers.freeze(&on)?;
    moment.take_disk(&layers, top)?;
    moment.finish(&layers, top)?;
    Ok(Taken { saved: Saved::Disk, paused: None })
}

/// Creates a sandbox from a moment of another. It exists once the caller has saved the returned record. It has its own
/// ports, key and identity, and may reach what its parent may reach.
pub fn make(
    store: &Store,
    parent: &Record,
    moment: &Moment,
    taken: Taken,
    name: &SandboxName,
    _lock: &LifeLock,
) -> Result<Record, Error> {
    let (place, from) = (store.place(name), store.place(&parent.name));
    let disk = place.disk();
    remove_all(disk.folder())?;
    for left in [place.identity(), place.network_log(), place.end()] {
        remove(&left)?;
    }
    // Write this first: otherwise the rest would be taken for an independent machine.
    let when = now();
    let parent_is = Parent { name: parent.name.clone(), when };
    save(&place.fork(), &parent_is)?;
    moment.begin_disk(disk.folder())?;
    if taken.saved == Saved::Memory {
        moment.hold_in(disk.folder())?;
    }
    KeyPair::generate(place.folder(), &format!("rave-{name}"))?;
    network::write(&place, &network::read(&from)?)?;
    inherit(&from, &place)?;
    let ports = parent.ports.iter().map(|choice| PortChoice { host: None, ..choice.clone() }).collect();
    Ok(Record { name: name.clone(), created: when, ports, parent: Some(parent_is), ..parent.clone() })
}

/// Programs that continue to run in a fork know the same tokens as in its parent. Requests are attributed to sandboxes
/// by their link.
fn inherit(parent: &Place, fork: &Place) -> Result<(), Error> {
    parent.inherited().iter().zip(&fork.inherited()).try_for_each(|(from, to)| copy(from, to))
}

/// The first free name for an unnamed fork: the parent's name with a number.
pub fn derive_name(parent: &SandboxName, is_taken: impl Fn(&SandboxName) -> bool) -> Option<SandboxName> {
    (1_u32..10_000).find_map(|number| {
        let end = format!("-{number}");
        let kept = parent.as_str().len().min(SandboxName::MAX - end.len());
        let name: SandboxName = format!("{}{end}", &parent.as_str()[..kept]).parse().ok()?;
        (!is_taken(&name)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    #[test]
    fn names_are_derived_unused_and_short_enough() {
        let name = |text: &str| text.parse::<SandboxName>().unwrap();
        let taken = [name("demo-1"), name("demo-3")];
        assert_eq!(derive_name(&name("demo"), |one| taken.contains(one)).unwrap().as_str(), "demo-2");
        let long = "a".repeat(63);
        let derived = derive_name(&name(&long), |_| false).unwrap();
        assert_eq!(derived.as_str(), format!("{}-1", &long[..61]));
        assert_eq!(derive_name(&name("demo"), |_| true), None);
    }

    #[test]
    fn a_fork_shows_its_parents_settings_and_none_of_an_earlier_fork() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8Path::from_path(folder.path()).unwrap());
        let places = ["demo", "fork"].map(|name| store.place(&name.parse().unwrap()));
        for place in &places {
            fs::create_dir_all(place.folder()).unwrap();
        }
        let [parent, fork] = &places;
        fs::write(parent.placeholders(), "{}").unwrap();
        fs::write(fork.model_token(), "of another").unwrap();
        inherit(parent, fork).unwrap();
        assert_eq!(fs::read_to_string(fork.placeholders()).unwrap(), "{}");
        assert!(!fork.model_token().exists());
    }

    #[test]
    fn a_moment_is_removed_by_its_command_or_after_a_kill_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8Path::from_path(folder.path()).unwrap());
        let passing = Passing::new(&store).unwrap();
        let in_use = passing.moment().folder().to_owned();
        let killed = store.root().join(".moment-4711");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("memory"), "half").unwrap();
        fs::write(killed.join("lock"), "").unwrap();
        store.sweep();
        assert!(in_use.exists() && !killed.exists(), "a moment in use stays");
        drop(passing);
        assert!(!in_use.exists());
    }
}
