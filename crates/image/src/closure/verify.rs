//! Whether the file system on the disk has the store's paths as registered.

use std::collections::BTreeSet;
use std::io;

use super::nar::NarHasher;
use super::registration::{Registration, ValidPath};
use super::tree::STORE_TIME;
use crate::content::ext4::{Attributes, Ext4Tree, ReadLimits, TreeError, Visited};

/// The store's folder, relative to the root folder.
const BELOW: &[u8] = b"nix/store/";

/// One line for each path that differs from its registration.
pub(crate) fn differences(
    tree: &Ext4Tree,
    registration: &Registration,
    limits: &ReadLimits,
) -> Result<Vec<String>, TreeError> {
    let mut check = Check { registration, at: None, seen: BTreeSet::new(), found: Vec::new() };
    tree.entries(limits, &mut |path, attributes, entry| check.entry(path, attributes, entry))?;
    check.finish();
    let absent = registration.paths().iter().filter(|path| !check.seen.contains(path.path.base()));
    let absent: Vec<String> = absent.map(|path| format!("{} is missing", path.path.as_str())).collect();
    check.found.extend(absent);
    Ok(check.found)
}

struct Check<'a> {
    registration: &'a Registration,
    /// The path being read, and the hasher of its archive.
    at: Option<(&'a ValidPath, NarHasher)>,
    seen: BTreeSet<&'a str>,
    found: Vec<String>,
}

impl Check<'_> {
    fn entry(&mut self, path: &[u8], attributes: &Attributes, entry: Visited<'_>) -> io::Result<()> {
        let Some(path) = path.strip_prefix(BELOW) else { return Ok(()) };
        let (base, below) = match path.iter().position(|byte| *byte == b'/') {
            Some(end) => (&path[..end], &path[end + 1..]),
            None => (path, &path[path.len()..]),
        };
        if below.is_empty() {
            self.finish();
            self.at = self.begin(base);
        }
        let Some((valid, nar)) = &mut self.at else { return Ok(()) };
        if let Some(what) = unlike_a_store(attributes, matches!(entry, Visited::Link { .. })) {
            let below = String::from_utf8_lossy(below).into_owned();
            self.found.push(format!("{}/{below} has {what}", valid.path.as_str()));
        }
        match entry {
            Visited::File { size, content } => nar.file(below, attributes.mode & 0o100 != 0, size, content),
            Visited::Link { target } => {
                nar.link(below, target);
                Ok(())
            }
            Visited::Other => {
                nar.folder(below);
                Ok(())
            }
        }
    }
}

impl<'a> Check<'a> {
    fn begin(&mut self, base: &[u8]) -> Option<(&'a ValidPath, NarHasher)> {
        let base = String::from_utf8_lossy(base);
        let Some(valid) = self.registration.of_base(&base) else {
            self.found.push(format!("/nix/store/{base} is not registered"));
            return None;
        };
        self.seen.insert(valid.path.base());
        Some((valid, NarHasher::default()))
    }

    /// Compares the archive of the finished path.
    fn finish(&mut self) {
        let Some((valid, nar)) = self.at.take() else { return };
        let (hash, size) = nar.finish();
        if (hash, size) != (valid.nar_hash, valid.nar_size) {
            let (path, registered) = (valid.path.as_str(), valid.nar_hash);
            self.found.push(format!("{path} has the SHA-256 {hash}, and {registered} is registered"));
        }
    }
}

/// An attribute of this entry that no entry of a store has, if any.
fn unlike_a_store(attributes: &Attributes, is_link: bool) -> Option<String> {
    let Attributes { mode, uid, gid, modified, is_folder } = *attributes;
    let mode_fits = is_link || mode == 0o555 || (mode == 0o444 && !is_folder);
    let fits = mode_fits && uid == 0 && gid == 0 && modified == STORE_TIME.cast_signed();
    (!fits).then(|| format!("mode {mode:o}, owner {uid}:{gid} and time {modified}"))
}
