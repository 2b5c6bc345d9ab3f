//! Which entries of two trees differ, by their listings.

use std::cmp::Ordering;
use std::io::{self, Read};

use camino::Utf8PathBuf;
use serde::Serialize;

use super::bytes::{self, ByteDifference};
use crate::content::ext4::Ext4Tree;
use crate::content::{EntryKind, TreeEntry, read_listing};
use crate::disk::boot_loader::NAME_IDENTIFIERS;
use crate::disk::layout::Layout;
use crate::error::Error;

/// How many differing entries are reported with all values.
const MAX_DETAILED: usize = 5;

/// Entries that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeDifference {
    /// The first of them, in the order of paths.
    pub told: Vec<FileDifference>,
    /// How many differ.
    pub number: u64,
}

/// An entry that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Its path, with a leading slash.
    pub path: String,
    /// What differs.
    pub facts: Vec<ValueDifference>,
    /// The first byte of the content that differs.
    pub spot: Option<ByteDifference>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueDifference {
    /// The name of the value.
    pub what: &'static str,
    /// In the first build and in the second.
    pub values: [String; 2],
}

/// Compares listings, and reads the disks for the bytes of files that differ.
pub(super) fn compare(
    listings: &[Utf8PathBuf; 2],
    disks: &[Utf8PathBuf; 2],
) -> Result<Option<TreeDifference>, Error> {
    let mut ours = read_listing(&listings[0])?;
    let mut theirs = read_listing(&listings[1])?;
    let (mut a, mut b) = (ours.next().transpose()?, theirs.next().transpose()?);
    let mut found = TreeDifference { told: Vec::new(), number: 0 };
    let mut identifiers = Vec::new();
    loop {
        let order = match (&a, &b) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // A folder comes before its content, and its content before the folder's next sibling.
            (Some(a), Some(b)) => a.path.split('/').cmp(b.path.split('/')),
        };
        let one = if order == Ordering::Greater { None } else { a.take() };
        let other = if order == Ordering::Less { None } else { b.take() };
        if one != other {
            found.number += 1;
            // Files that only differ in the disk's identifiers are a consequence: causes are reported first.
            let path = one.as_ref().or(other.as_ref()).map_or("", |entry| entry.path.as_str());
            let told = if NAME_IDENTIFIERS.contains(&path) { &mut identifiers } else { &mut found.told };
            if told.len() < MAX_DETAILED {
                told.push(difference(one.as_ref(), other.as_ref(), disks));
            }
        }
        if order != Ordering::Greater {
            a = ours.next().transpose()?;
        }
        if order != Ordering::Less {
            b = theirs.next().transpose()?;
        }
    }
    found.told.append(&mut identifiers);
    found.told.truncate(MAX_DETAILED);
    Ok((found.number > 0).then_some(found))
}

fn difference(a: Option<&TreeEntry>, b: Option<&TreeEntry>, disks: &[Utf8PathBuf; 2]) -> FileDifference {
    let path = a.or(b).map(|entry| entry.path.clone()).unwrap_or_default();
    let (facts, spot) = if let (Some(a), Some(b)) = (a, b) {
        (facts(a, b), spot(a, b, disks))
    } else {
        let kind_name =
            |entry: Option<&TreeEntry>| entry.map_or("missing", |entry| entry.kind.name()).to_owned();
        (vec![ValueDifference { what: "entry", values: [kind_name(a), kind_name(b)] }], None)
    };
    FileDifference { path: format!("/{path}"), facts, spot }
}

fn facts(a: &TreeEntry, b: &TreeEntry) -> Vec<ValueDifference> {
    let mut facts = Vec::new();
    let mut add = |what, values: [String; 2]| {
        if values[0] != values[1] {
            facts.push(ValueDifference { what, values });
        }
    };
    let both = [a, b];
    add("type", both.map(|entry| entry.kind.name().to_owned()));
    add("mode", both.map(|entry| format!("{:04o}", entry.mode)));
    add("uid", both.map(|entry| entry.uid.to_string()));
    add("gid", both.map(|entry| entry.gid.to_string()));
    add("modified", both.map(|entry| entry.modified.to_string()));
    match (&a.kind, &b.kind) {
        (EntryKind::File { size, sha256 }, EntryKind::File { size: other_size, sha256: other }) => {
            add("size", [size, other_size].map(ToString::to_string));
            add("SHA-256", [sha256, other].map(ToString::to_string));
        }
        (EntryKind::Link { target }, EntryKind::Link { target: other }) => {
            add("target", [target, other].map(Clone::clone));
        }
        (EntryKind::CharacterDevice(a), EntryKind::CharacterDevice(b))
        | (EntryKind::BlockDevice(a), EntryKind::BlockDevice(b)) => {
            add("device", [a, b].map(|numbers| format!("{}:{}", numbers.major, numbers.minor)));
        }
        _ => {}
    }
    facts
}

/// The bytes are optional: if the disks can no longer be read, the other facts are reported without them.
fn spot(a: &TreeEntry, b: &TreeEntry, disks: &[Utf8PathBuf; 2]) -> Option<ByteDifference> {
    let (EntryKind::File { sha256, .. }, EntryKind::File { sha256: other, .. }) = (&a.kind, &b.kind) else {
        return None;
    };
    if sha256 == other {
        return None;
    }
    let open = |disk: &Utf8PathBuf| {
        let size = std::fs::metadata(disk).ok()?.len().checked_sub(Layout::ROOT_START)?;
        let file = Ext4Tree::open(disk, Layout::ROOT_START, size).ok()?.file(&a.path).ok()?;
        Some(Content(file))
    };
    bytes::first(open(&disks[0])?, open(&disks[1])?).ok()?
}

/// A file in a file system.
struct Content(ext4_view::File);

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_bytes(buffer).map_err(io::Error::other)
    }
}
