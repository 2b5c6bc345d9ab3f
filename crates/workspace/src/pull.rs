//! Fetches the guest's changes: a list of bounded size, and the contents that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use rave_guest::tree::path::{above, split};
use rave_guest::tree::serve::Task;
use rave_guest::tree::wire::{Limits, Reader, Record as Wire, Writer};

use crate::blobs::BlobWriter;
use crate::byte_path::BytePath;
use crate::content::Content;
use crate::entry::{Entry, Stamp, is_executable};
use crate::error::Error;
use crate::guest::{Guest, run_task};
use crate::ignored;
use crate::names;
use crate::pattern::Pattern;
use crate::record::{NO_FILE, Place, Pull, Pulled, Record};

/// The limits of a list.
pub const LISTING: Limits = Limits { records: 1_000_000, names: 128 << 20, content: 0 };
/// The largest file that is fetched, in bytes.
pub const MAX_FILE: u64 = 1 << 30;
/// The most bytes that are fetched at once.
pub const MAX_FETCH: u64 = 4 << 30;
/// The most files that are fetched at once.
pub const MAX_CHANGES: usize = 200_000;

/// An entry of the guest's list.
enum Listed {
    Folder,
    File(Stamp),
    Link(Vec<u8>),
}

/// Lists the guest's files, fetches those that differ, and records them. The caller holds the lock of the place.
pub fn pull(place: &Place, record: &mut Record, guest: &dyn Guest) -> Result<Pull, Error> {
    let task = Task::List(record.guest.clone().into());
    let ((), (listed, mut left)) = run_task(guest, &task, |_| Ok(()), |from| list(from))?;
    let last = Pull::find(place).ok().flatten().unwrap_or_default();
    let mut pull = Pull::new();
    let mut asked = BTreeMap::new();
    let ignored = ignored_of(place, record, &listed)?;
    for (path, known) in &record.entries {
        // An unreadable path does not count as removed, and a folder stays if something in it was not copied.
        let is_unknown =
            left.contains_key(path) || above(path.bytes()).any(|folder| left.contains_key(folder));
        let stays = known.entry == Entry::Folder && record.has_withheld_in(path);
        if !listed.contains_key(path) && !is_unknown && !stays {
            pull.changes.insert(path.clone(), Pulled { entry: None, stamp: None });
        }
    }
    for (path, listed) in &listed {
        if ignored.contains(path) {
            continue;
        }
        if let Some(why) = names::fault(path.bytes()) {
            left.insert(path.clone(), why.to_owned());
            continue;
        }
        let known = record.entries.get(path);
        let entry = match listed {
            Listed::Folder => Entry::Folder,
            Listed::Link(target) => Entry::Link { target: BytePath(target.clone()) },
            Listed::File(stamp) => {
                if known.is_some_and(|known| stamp.proves(known.guest)) {
                    continue;
                }
                match last.changes.get(path) {
                    Some(pulled) if stamp.proves(pulled.stamp) => {
                        pull.changes.insert(path.clone(), pulled.clone());
                    }
                    _ => drop(asked.insert(path.clone(), *stamp)),
                }
                continue;
            }
        };
        if known.is_none_or(|known| known.entry != entry) {
            pull.changes.insert(path.clone(), Pulled { entry: Some(entry), stamp: None });
        }
    }
    fetch(place, record, guest, asked, &mut pull, &mut left)?;
    pull.left = left;
    forget_hidden(&mut pull, &listed);
    pull.save(place)?;
    record.save(place)?;
    let of_pull = pull.changes.values().filter_map(|pulled| pulled.entry.as_ref());
    let of_base = record.entries.values().map(|known| &known.entry);
    let taken = record.taken.values().flatten();
    let used = of_pull.chain(of_base).chain(taken).filter_map(Entry::content);
    place.blobs().keep(used).map_err(Error::io("clean", "the contents of the workspace"))?;
    Ok(pull)
}

/// Forgets new folders that only contain ignored files.
fn forget_hidden(pull: &mut Pull, listed: &BTreeMap<BytePath, Listed>) {
    let folders = pull.changes.iter().rev().filter(|(_, pulled)| pulled.entry == Some(Entry::Folder));
    let folders: Vec<BytePath> = folders.map(|(path, _)| path.clone()).collect();
    // From the inside out, because folders can be nested.
    for path in folders {
        let first = BytePath([path.bytes(), b"/"].concat());
        let is_in = |other: Option<&BytePath>| other.is_some_and(|other| other.is_in(path.bytes()));
        let has = is_in(listed.range(first.clone()..).next().map(|(other, _)| other));
        let has_change = is_in(pull.changes.range(first.clone()..).next().map(|(other, _)| other));
        let is_left = is_in(pull.left.range(first..).next().map(|(other, _)| other));
        if has && !has_change && !is_left {
            pull.changes.remove(&path);
        }
    }
}

type List = (BTreeMap<BytePath, Listed>, BTreeMap<BytePath, String>);

/// Parses a list. A path may occur once, and everything above it must be a folder.
fn list(from: &mut dyn Read) -> io::Result<List> {
    let bad = |path: &BytePath| {
        io::Error::new(io::ErrorKind::InvalidData, format!("it lists {path} as two things"))
    };
    let mut reader = Reader::new(from, LISTING)?;
    let (mut listed, mut left) = (BTreeMap::new(), BTreeMap::new());
    while let Some(record) = reader.next()? {
        let (path, what) = match record {
            Wire::Folder { path, .. } => (path, Listed::Folder),
            Wire::Stat { path, mode, stamp } => (path, Listed::File(Stamp::new(stamp, mode))),
            Wire::Link { path, target } => (path, Listed::Link(target)),
            Wire::Failed { path, why } => {
                left.insert(BytePath(path), why);
                continue;
            }
            Wire::Other { path } => {
                left.insert(BytePath(path), NO_FILE.to_owned());
                continue;
            }
            Wire::File { path, .. } | Wire::Remove { path } => return Err(bad(&BytePath(path))),
        };
        let path = BytePath(path);
        let (folder, _) = split(path.bytes());
        let is_in_folder = folder.is_empty() || matches!(listed.get(folder), Some(Listed::Folder));
        if !is_in_folder || listed.contains_key(&path) {
            return Err(bad(&path));
        }
        listed.insert(path, what);
    }
    Ok((listed, left))
}

/// The new paths that git would ignore. Paths that were pushed or named are never ignored.
fn ignored_of(
    place: &Place,
    record: &Record,
    listed: &BTreeMap<BytePath, Listed>,
) -> Result<BTreeSet<BytePath>, Error> {
    if !record.is_git {
        return Ok(BTreeSet::new());
    }
    let include: Vec<Pattern> = record.include.iter().map(|text| Pattern::new(text)).collect();
    let is_asked = |path: &BytePath| {
        !record.entries.contains_key(path) && !include.iter().any(|pattern| pattern.matches(path.bytes()))
    };
    let new = listed.iter().filter(|(path, _)| is_asked(path));
    let new: BTreeMap<BytePath, bool> =
        new.map(|(path, what)| (path.clone(), matches!(what, Listed::Folder))).collect();
    let base = record.entries.iter().map(|(path, known)| (path, &known.entry));
    ignored::by_rules(&new, &record.excludes, base, &place.blobs())
}

/// Fetches contents, each at most as long as listed.
fn fetch(
    place: &Place,
    record: &mut Record,
    guest: &dyn Guest,
    mut asked: BTreeMap<BytePath, Stamp>,
    pull: &mut Pull,
    left: &mut BTreeMap<BytePath, String>,
) -> Result<(), Error> {
    let mut total: u64 = 0;
    let mut count = 0;
    asked.retain(|path, stamp| {
        total = total.saturating_add(stamp.0);
        count += 1;
        let why = match () {
            () if stamp.0 > MAX_FILE => format!("it has {} bytes, more than the limit for a file", stamp.0),
            () if total > MAX_FETCH => format!("more than {MAX_FETCH} bytes have changed"),
            () if count > MAX_CHANGES => format!("more than {MAX_CHANGES} files have changed"),
            () => return true,
        };
        total = total.saturating_sub(stamp.0);
        left.insert(path.clone(), why);
        false
    });
    if asked.is_empty() {
        return Ok(());
    }
    let mut contents = place.blobs().writer().map_err(Error::io("write", "the contents of the workspace"))?;
    let task = Task::Get(record.guest.clone().into());
    let paths: Vec<BytePath> = asked.keys().cloned().collect();
    let feed = |to: &mut dyn io::Write| -> io::Result<()> {
        let mut to = Writer::new(to)?;
        for path in paths {
            to.record(&Wire::Other { path: path.0 })?;
        }
        to.finish()
    };
    let limits = Limits { records: asked.len() as u64, names: LISTING.names, content: total };
    let take = |from: &mut dyn Read| receive(from, limits, &asked, &mut contents);
    let ((), received) =
        run_task(guest, &task, |to| feed(to).map_err(Error::io("send to", "the guest")), take)?;
    contents.finish().map_err(Error::io("write", "the contents of the workspace"))?;
    for (path, entry) in received {
        let entry = match entry {
            Ok(entry) => entry,
            Err(why) => {
                left.insert(path, why);
                continue;
            }
        };
        let stamp = asked.get(&path).copied();
        match record.entries.get_mut(&path) {
            Some(known) if known.entry.is_same(&entry) => known.guest = stamp,
            _ => drop(pull.changes.insert(path, Pulled { entry: Some(entry), stamp })),
        }
    }
    Ok(())
}

type Received = BTreeMap<BytePath, Result<Entry, String>>;

fn receive(
    from: &mut dyn Read,
    limits: Limits,
    asked: &BTreeMap<BytePath, Stamp>,
    contents: &mut BlobWriter,
) -> io::Result<Received> {
    let bad = |path: &BytePath, why: &str| {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {why}")))
    };
    let mut reader = Reader::new(from, limits)?;
    let mut received = Received::new();
    while let Some(record) = reader.next()? {
        let (path, entry) = match record {
            Wire::File { path, mode } => {
                let path = BytePath(path);
                let Some(stamp) = asked.get(&path) else { return bad(&path, "it was not requested") };
                let content = content(&mut reader, stamp.0, contents)?;
                (path, content.map(|content| Entry::File { executable: is_executable(mode), content }))
            }
            Wire::Failed { path, why } => (BytePath(path), Err(why)),
            other => {
                return bad(
                    &BytePath(rave_guest::tree::unpack::path_of(&other).to_vec()),
                    "it was not requested",
                );
            }
        };
        if received.insert(path.clone(), entry).is_some() {
            return bad(&path, "it was sent twice");
        }
    }
    // A file that was not sent must not look unchanged.
    for path in asked.keys().filter(|path| !received.contains_key(*path)).cloned().collect::<Vec<_>>() {
        received.insert(path, Err("the guest did not send it".to_owned()));
    }
    Ok(received)
}

fn content(
    reader: &mut Reader<&mut dyn Read>,
    size: u64,
    contents: &mut BlobWriter,
) -> io::Result<Result<Content, String>> {
    let mut blob = contents.begin();
    let mut piece = Vec::new();
    let mut length = 0;
    while reader.piece(&mut piece)? {
        length += piece.len() as u64;
        if length <= size {
            blob.write(&piece)?;
        }
    }
    let content = blob.finish();
    Ok(if length > size {
        Err("it grew while it was being read: pull again".to_owned())
    } else {
        Ok(content)
    })
}
