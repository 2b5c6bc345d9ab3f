//! The guest's changes, with those that are held back or refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::blobs::Blobs;
use crate::byte_path::BytePath;
use crate::content::Content;
use crate::entry::Entry;
use crate::error::Error;
use crate::hunks::Texts;
use crate::names;
use crate::quarantine::{Held, Quarantine, Sides, is_binary};
use crate::record::{Pull, Record};

/// The longest text that is compared line by line, in bytes.
pub const MAX_TEXT: u64 = 8 << 20;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was added.
    Added,
    /// Its content changed.
    Modified,
    /// It was removed.
    Deleted,
    /// Only its executable bit changed.
    Mode,
    /// It became another kind, such as a file that became a link.
    Kind,
}

/// One change.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The path.
    pub path: BytePath,
    /// The kind of change.
    pub status: Status,
    /// The numbers of added and removed lines, if it is text.
    pub lines: Option<(usize, usize)>,
    /// Why it is held back.
    pub held: Option<Held>,
    /// Why it is never applied.
    pub refused: Option<String>,
    /// The pushed entry.
    #[serde(skip)]
    pub before: Option<Entry>,
    /// The current entry.
    #[serde(skip)]
    pub after: Option<Entry>,
}

/// The contents of a change, if each is text or absent.
#[derive(Debug, Default)]
pub struct Pair {
    /// The pushed content.
    pub before: Vec<u8>,
    /// The current content.
    pub after: Vec<u8>,
}

/// All changes, by path.
pub fn changes(
    record: &Record,
    pull: &Pull,
    quarantine: &Quarantine,
    blobs: &Blobs,
    folds_case: bool,
) -> Result<Vec<Change>, Error> {
    let same_names = if folds_case { collisions(record, pull) } else { BTreeSet::new() };
    let mut all = Vec::new();
    for (path, pulled) in &pull.changes {
        let (before, after) = (record.entry(path).cloned(), pulled.entry.clone());
        if pull.is_implied(path, before.as_ref()) {
            continue;
        }
        let mut change = Change {
            path: path.clone(),
            status: status(before.as_ref(), after.as_ref()),
            lines: None,
            held: None,
            refused: refusal(record, path, before.as_ref(), after.as_ref()),
            before,
            after,
        };
        if same_names.contains(path) {
            change.refused = Some("its name only differs in case from another one".to_owned());
        }
        compare(&mut change, quarantine, blobs).map_err(Error::io("read", path))?;
        all.push(change);
    }
    Ok(all)
}

fn status(before: Option<&Entry>, after: Option<&Entry>) -> Status {
    match (before, after) {
        (None, _) => Status::Added,
        (_, None) => Status::Deleted,
        (Some(Entry::File { content, .. }), Some(Entry::File { content: other, .. })) => {
            if content.digest == other.digest { Status::Mode } else { Status::Modified }
        }
        (Some(Entry::Link { .. }), Some(Entry::Link { .. })) => Status::Modified,
        _ => Status::Kind,
    }
}

fn refusal(
    record: &Record,
    path: &BytePath,
    before: Option<&Entry>,
    after: Option<&Entry>,
) -> Option<String> {
    if let Some(fault) = names::fault(path.bytes()) {
        return Some(fault.to_owned());
    }
    if before.is_none()
        && let Some(why) = record.withheld_at(path)
    {
        return Some(format!("the file of the host was not copied ({why}) and stays as it is"));
    }
    match after {
        Some(Entry::Link { target }) => names::link_fault(path.bytes(), target.bytes()).map(str::to_owned),
        _ => None,
    }
}

/// Changed paths that only differ in case from another path.
fn collisions(record: &Record, pull: &Pull) -> BTreeSet<BytePath> {
    let stays = |path: &&BytePath| pull.changes.get(*path).is_none_or(|pulled| pulled.entry.is_some());
    let new = pull.changes.iter().filter(|(_, pulled)| pulled.entry.is_some()).map(|(path, _)| path);
    let all: BTreeSet<&BytePath> = record.entries.keys().filter(stays).chain(new).collect();
    let mut by_name: BTreeMap<String, Vec<&BytePath>> = BTreeMap::new();
    for path in all {
        by_name.entry(String::from_utf8_lossy(path.bytes()).to_lowercase()).or_default().push(path);
    }
    let several = by_name.into_values().filter(|paths| paths.len() > 1).flatten();
    several.filter(|path| pull.changes.contains_key(*path)).cloned().collect()
}

/// Compares the contents: counts lines, and decides whether the change is held back.
fn compare(change: &mut Change, quarantine: &Quarantine, blobs: &Blobs) -> std::io::Result<()> {
    let text = |entry: Option<&Entry>| {
        entry.and_then(Entry::content).map(|content| head(blobs, content)).transpose()
    };
    let (before, after) = (text(change.before.as_ref())?, text(change.after.as_ref())?);
    let sides = Sides {
        before: before.as_deref(),
        after: after.as_deref(),
        was_executable: change.before.as_ref().is_some_and(Entry::is_executable),
        is_executable: change.after.as_ref().is_some_and(Entry::is_executable),
        is_cut: change.after.as_ref().and_then(Entry::content).is_some_and(|after| after.size > MAX_TEXT),
    };
    change.held = quarantine.of(change.path.bytes(), sides);
    if let Some(pair) = pair(change, blobs)? {
        change.lines = Some(Texts::new(&pair.before, &pair.after).counts());
    }
    Ok(())
}

/// A content, or the beginning of one that is too large to compare.
fn head(blobs: &Blobs, content: &Content) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    blobs.open(content)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The contents of a change; nothing unless both can be compared as text.
pub fn pair(change: &Change, blobs: &Blobs) -> std::io::Result<Option<Pair>> {
    let mut pair = Pair::default();
    for (entry, text) in [(&change.before, &mut pair.before), (&change.after, &mut pair.after)] {
        match entry {
            Some(Entry::File { content, .. }) if content.size > MAX_TEXT => return Ok(None),
            Some(Entry::File { content, .. }) => *text = blobs.read(content, MAX_TEXT)?,
            Some(Entry::Link { target }) => text.clone_from(&target.0),
            Some(Entry::Folder) | None => {}
        }
        if is_binary(text) {
            return Ok(None);
        }
    }
    Ok(Some(pair))
}
