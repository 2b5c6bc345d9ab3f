//! Applies the guest's changes to the host. Every file is complete at any moment; the next command completes an `apply`
//! that was killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};

use rave_guest::tree::path::above;
use serde::Serialize;

use crate::blobs::{BlobWriter, Blobs};
use crate::byte_path::BytePath;
use crate::changes::{Change, MAX_TEXT};
use crate::content::Content;
use crate::digest::Digest;
use crate::entry::{Entry, Stamp};
use crate::error::Error;
use crate::host::{Host, Now, What};
use crate::merge::merge;
use crate::quarantine::is_binary;
use crate::record::{self, Known, Place, Pull, Record, Step};

/// The part of a change to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// Some hunks: the pushed file with these hunks applied.
    Text(Vec<u8>),
}

/// The result for a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "result", content = "why")]
pub enum Outcome {
    /// The host has the change.
    Applied,
    /// It was merged with the host's own changes.
    Merged,
    /// Both sides changed it; the conflict is marked in the file or described here.
    Conflict(String),
    /// The host's file was left unchanged.
    Refused(String),
}

/// The planned step for a path.
struct Plan<'a> {
    change: &'a Change,
    now: Now,
    outcome: Outcome,
    write: Write,
    /// The new merge base.
    base: Base,
    stamp: Option<Stamp>,
}

/// The new merge base of a path.
#[derive(Clone)]
enum Base {
    Stays,
    /// Nothing if the path is removed.
    Becomes(Option<Entry>),
}

enum Write {
    Nothing,
    Remove,
    Entry(Entry),
    Text { executable: bool, text: Vec<u8> },
}

/// Applies changes. The caller holds the lock of the place.
pub fn apply(
    place: &Place,
    record: &mut Record,
    pull: &mut Pull,
    wanted: &BTreeMap<BytePath, (Change, Wanted)>,
) -> Result<BTreeMap<BytePath, Outcome>, Error> {
    let host = Host::open(&record.source)?;
    let blobs = place.blobs();
    let mut contents = blobs.writer().map_err(Error::io("write", "the contents of the workspace"))?;
    let mut plans = Vec::new();
    for (change, wanted) in wanted.values() {
        let stamp = pull.changes.get(&change.path).and_then(|pulled| pulled.stamp);
        plans.push(plan(&host, change, wanted, stamp, &blobs, &mut contents)?);
    }
    contents.finish().map_err(Error::io("write", "the contents of the workspace"))?;
    let steps: Vec<Step> = plans.iter().filter_map(Plan::step).collect();
    record::write(&place.journal(), &steps)?;
    // Removals first: they make room for what is written.
    plans.sort_by_key(|plan| !matches!(plan.write, Write::Remove));
    let mut outcomes = BTreeMap::new();
    let mut done = Vec::new();
    let removed = removed_folders(pull, record);
    let mut folders_are_removed = false;
    for plan in plans {
        if !folders_are_removed && !matches!(plan.write, Write::Remove) {
            remove_folders(&host, &removed)?;
            folders_are_removed = true;
        }
        let outcome = match plan.run(&host, &blobs) {
            Ok(()) => plan.outcome.clone(),
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                settle(place, record, pull, done)?;
                return Err(Error::io("write", &plan.change.path)(error));
            }
            Err(error) => Outcome::Refused(error.to_string()),
        };
        if !matches!(outcome, Outcome::Refused(_)) {
            done.extend(plan.step());
        }
        outcomes.insert(plan.change.path.clone(), outcome);
    }
    if !folders_are_removed {
        remove_folders(&host, &removed)?;
    }
    settle(place, record, pull, done)?;
    Ok(outcomes)
}

/// Completes an `apply` that was killed: the changes that it had written count as applied.
pub fn recover(place: &Place, record: &mut Record) -> Result<bool, Error> {
    let Some(steps) = record::read::<Vec<Step>>(&place.journal())? else { return Ok(false) };
    let host = Host::open(&record.source)?;
    let mut done = Vec::new();
    for step in steps {
        let now = host.state(&step.path)?;
        let is_done = match (&now.what, step.host, &step.base) {
            (What::File { digest, .. }, Some(wanted), _) => *digest == wanted,
            (what, None, base) => what.is(base.as_ref()),
            _ => false,
        };
        if is_done {
            done.push(step);
        }
    }
    let mut pull = Pull::find(place)?.unwrap_or_default();
    settle(place, record, &mut pull, done)?;
    Ok(true)
}

/// Records applied changes, and removes the journal.
fn settle(place: &Place, record: &mut Record, pull: &mut Pull, done: Vec<Step>) -> Result<(), Error> {
    for step in done {
        record.taken.remove(&step.path);
        let Some(entry) = step.base else {
            record.entries.remove(&step.path);
            pull.changes.remove(&step.path);
            continue;
        };
        let now = pull.changes.get(&step.path).and_then(|pulled| pulled.entry.as_ref());
        if now.is_some_and(|now| now.is_same(&entry)) {
            pull.changes.remove(&step.path);
        }
        for folder in above(step.path.bytes()) {
            let folder = BytePath(folder.to_vec());
            if pull.changes.get(&folder).is_some_and(|pulled| pulled.entry == Some(Entry::Folder)) {
                pull.changes.remove(&folder);
                record.entries.insert(folder, Known { entry: Entry::Folder, host: None, guest: None });
            }
        }
        // The next push compares the host's files again.
        record.entries.insert(step.path, Known { entry, host: None, guest: step.stamp });
    }
    forget_folders(record, pull);
    record.save(place)?;
    pull.save(place)?;
    match fs::remove_file(place.journal()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", place.journal())(error)),
        _ => Ok(()),
    }
}

/// A folder that the guest removed is removed from the base once the base has nothing in it.
fn forget_folders(record: &mut Record, pull: &mut Pull) {
    let removed: Vec<BytePath> = removed_folders(pull, record);
    for path in removed {
        let inside = BytePath([path.bytes(), b"/"].concat());
        let has_more =
            record.entries.range(inside..).next().is_some_and(|(other, _)| other.is_in(path.bytes()));
        if !has_more {
            record.entries.remove(&path);
            pull.changes.remove(&path);
        }
    }
}

fn removed_folders(pull: &Pull, record: &Record) -> Vec<BytePath> {
    let removed =
        pull.changes.iter().rev().filter(|(_, pulled)| pulled.entry.is_none()).map(|(path, _)| path);
    removed.filter(|path| record.entry(path) == Some(&Entry::Folder)).cloned().collect()
}

/// Removes folders that the guest removed and that are empty here, the innermost first.
fn remove_folders(host: &Host, removed: &[BytePath]) -> Result<(), Error> {
    for path in removed {
        host.remove_empty(path).map_err(Error::io("remove", path))?;
    }
    Ok(())
}

fn plan<'a>(
    host: &Host,
    change: &'a Change,
    wanted: &Wanted,
    stamp: Option<Stamp>,
    blobs: &Blobs,
    contents: &mut BlobWriter,
) -> Result<Plan<'a>, Error> {
    let now = host.state(&change.path)?;
    let mut plan = Plan {
        change,
        now,
        outcome: Outcome::Applied,
        write: Write::Nothing,
        base: Base::Stays,
        stamp: None,
    };
    if let Some(why) = &change.refused {
        plan.outcome = Outcome::Refused(why.clone());
        return Ok(plan);
    }
    let target = match wanted {
        Wanted::Whole => {
            plan.stamp = stamp;
            change.after.clone()
        }
        Wanted::Text(text) => {
            let content = contents.add(text).map_err(Error::io("keep", &change.path))?;
            let executable =
                change.before.as_ref().or(change.after.as_ref()).is_some_and(Entry::is_executable);
            Some(Entry::File { executable, content })
        }
    };
    plan.base = Base::Becomes(target.clone());
    let what = plan.now.what.clone();
    if what.is(target.as_ref()) {
        return Ok(plan);
    }
    if what.is(change.before.as_ref()) {
        plan.write = target.map_or(Write::Remove, Write::Entry);
        return Ok(plan);
    }
    let target = target.as_ref();
    match (&what, change.before.as_ref(), target) {
        // The guest may not touch what was not pushed.
        (_, None, _) => refuse(&mut plan, "the host has another file here that was not copied"),
        (
            What::File { executable, .. },
            Some(Entry::File { executable: was, content }),
            Some(Entry::File { executable: is, content: new }),
        ) => {
            let executable = if was == is { *executable } else { *is };
            merge_files(&mut plan, host, executable, content, new, blobs)?;
        }
        (What::Nothing, _, Some(entry)) => {
            plan.outcome = Outcome::Conflict(
                "it was removed on the host and changed in the sandbox: the sandbox's version was restored"
                    .into(),
            );
            plan.write = Write::Entry(entry.clone());
        }
        (_, _, None) => {
            plan.outcome = Outcome::Conflict(
                "it was removed in the sandbox and changed on the host: the host's version stays".into(),
            );
        }
        _ => conflict(&mut plan, "both sides changed its kind"),
    }
    Ok(plan)
}

fn refuse(plan: &mut Plan<'_>, why: &str) {
    plan.outcome = Outcome::Refused(why.to_owned());
    plan.base = Base::Stays;
}

/// A conflict that cannot be marked in a file: the host's version stays, and so does the change.
fn conflict(plan: &mut Plan<'_>, why: &str) {
    plan.outcome = Outcome::Conflict(format!("{why}: the host's version stays"));
    plan.base = Base::Stays;
}

fn merge_files(
    plan: &mut Plan<'_>,
    host: &Host,
    executable: bool,
    base: &Content,
    theirs: &Content,
    blobs: &Blobs,
) -> Result<(), Error> {
    let path = &plan.change.path;
    let failed = || Error::io("read", path);
    let ours = host.text(path).map_err(failed())?;
    let sides = match ours {
        Some(ours) if base.size <= MAX_TEXT && theirs.size <= MAX_TEXT => [
            ours,
            blobs.read(base, MAX_TEXT).map_err(failed())?,
            blobs.read(theirs, MAX_TEXT).map_err(failed())?,
        ],
        _ => {
            conflict(plan, "both sides changed a file that is too large to be merged");
            return Ok(());
        }
    };
    if sides.iter().any(|side| is_binary(side)) {
        conflict(plan, "both sides changed a file that is not text");
        return Ok(());
    }
    let merged = merge(&sides[0], &sides[1], &sides[2])?;
    plan.outcome = if merged.has_conflicts {
        Outcome::Conflict("both sides changed the same lines: they are marked in the file".into())
    } else {
        Outcome::Merged
    };
    plan.write = Write::Text { executable, text: merged.text };
    Ok(())
}

impl Plan<'_> {
    fn run(&self, host: &Host, blobs: &Blobs) -> io::Result<()> {
        let path = &self.change.path;
        match &self.write {
            Write::Nothing => Ok(()),
            Write::Remove => {
                if !host.is_still(path, &self.now)? {
                    return Err(io::Error::other("it changed while it was being removed"));
                }
                host.remove(path, &self.now)
            }
            Write::Entry(entry) => host.write_entry(path, &self.now, entry, blobs),
            Write::Text { executable, text } => {
                host.write_file(path, &self.now, *executable, &mut text.as_slice())
            }
        }
    }

    fn step(&self) -> Option<Step> {
        let Base::Becomes(base) = self.base.clone() else { return None };
        let host = match &self.write {
            Write::Text { text, .. } => Some(Digest::of(text)),
            Write::Entry(Entry::File { content, .. }) => Some(content.digest),
            Write::Nothing => self.now.what.digest(),
            _ => None,
        };
        Some(Step { path: self.change.path.clone(), base, stamp: self.stamp, host })
    }
}

/// Whether the workspace's folder treats names that only differ in case as the same.
pub fn folds_case(record: &Record) -> Result<bool, Error> {
    Ok(Host::open(&record.source)?.folds_case())
}
