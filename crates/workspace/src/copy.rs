//! Copies files and folders between host and guest without a workspace, as cp(1) does.

use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::tree::beneath::Root;
use rave_guest::tree::pack::{Contents, pack};
use rave_guest::tree::serve::{Task, destination, renamed};
use rave_guest::tree::unpack::{Options, Unpacked, path_of, unpack};
use rave_guest::tree::wire::{Limits, Reader, Record as Wire, Writer};
use serde::Serialize;

use crate::byte_path::BytePath;
use crate::error::Error;
use crate::guest::{Guest, run_task};
use crate::host::umask;
use crate::names;

/// Limits on what a guest may send for one copy.
pub const LIMITS: Limits = Limits { records: 2_000_000, names: 512 << 20, content: 64 << 30 };

/// The result of a copy.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The number of files, links and folders.
    pub entries: u64,
    /// The bytes of files.
    pub bytes: u64,
    /// What was not copied, and why.
    pub left: Vec<(BytePath, String)>,
}

/// Copies a file or a folder of the host to a path of the guest, relative to its user's home.
pub fn into_guest(guest: &dyn Guest, from: &Utf8Path, to: &str) -> Result<Copied, Error> {
    let failed = || Error::io("read", from);
    let canonical = from.canonicalize_utf8().map_err(failed())?;
    let (Some(parent), Some(name)) = (canonical.parent(), canonical.file_name()) else {
        return Err(Error::BadSource {
            path: canonical,
            why: "it is the root of the file system".to_owned(),
        });
    };
    let inside = name.as_bytes();
    let root = Root::open(parent.as_std_path()).map_err(failed())?;
    let feed = |to: &mut dyn std::io::Write| -> Result<Copied, Error> {
        let mut counter = Counter { to, bytes: 0 };
        let mut to = Writer::new(&mut counter).map_err(failed())?;
        pack(&root, inside, Contents::Send, &|_| false, &mut to).map_err(failed())?;
        to.finish().map_err(failed())?;
        Ok(Copied { bytes: counter.bytes, ..Copied::default() })
    };
    let take = |from: &mut dyn Read| -> std::io::Result<Vec<(BytePath, String)>> {
        let mut reader = Reader::new(from, LIMITS)?;
        let mut left = Vec::new();
        while let Some(record) = reader.next()? {
            if let Wire::Failed { path, why } = record {
                left.push((BytePath(path), why));
            }
        }
        Ok(left)
    };
    let (mut copied, left) = run_task(guest, &Task::CopyIn(to.into()), feed, take)?;
    copied.left = left;
    Ok(copied)
}

/// Counts the bytes that are sent.
struct Counter<'a> {
    to: &'a mut dyn std::io::Write,
    bytes: u64,
}

impl std::io::Write for Counter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Copies a file or a folder of the guest to a path of the host. Its name on the host comes from the requested paths:
/// the guest never chooses one.
pub fn from_guest(guest: &dyn Guest, from: &str, to: &Utf8Path) -> Result<Copied, Error> {
    let failed = || Error::io("write", to);
    let (folder, asked) = destination(to.as_std_path()).map_err(failed())?;
    let own = Path::new(from).file_name().map(|name| name.as_bytes().to_vec());
    let name = asked.or(own).filter(|name| names::fault(name).is_none()).ok_or_else(|| Error::NotFound {
        what: format!("{from} has no name for the host: name the destination, such as {}", to.join("NAME")),
    })?;
    let root = Root::open(&folder).map_err(failed())?;
    let take = |from: &mut dyn Read| -> std::io::Result<Unpacked> {
        let mut reader = Reader::new(from, LIMITS)?;
        let options = Options { mode: 0o777 & !umask(), replaces_kinds: false };
        let place = |record: &Wire| {
            let path = renamed(path_of(record), Some(&name));
            let fault = names::fault(&path).or_else(|| match record {
                Wire::Link { target, .. } => names::link_fault(below(&path), target),
                // Part of a push, in which the host tells the guest.
                Wire::Remove { .. } => Some("the guest asked to remove it"),
                _ => None,
            });
            fault.map_or(Ok(path), |why| Err(why.to_owned()))
        };
        unpack(&root, &mut reader, options, &place)
    };
    let task = Task::CopyOut(PathBuf::from(from));
    let ((), done) = run_task(guest, &task, |_| Ok(()), take).map_err(|error| match error {
        Error::Guest { why } => Error::Guest { why: format!("{from}: {why}") },
        error => error,
    })?;
    let left = done.left.into_iter().map(|(path, why)| (BytePath(path), why)).collect();
    Ok(Copied { entries: done.written, bytes: done.bytes, left })
}

/// A path relative to the copied folder: links may lead to its siblings, but not out of it.
fn below(path: &[u8]) -> &[u8] {
    match path.iter().position(|byte| *byte == b'/') {
        Some(at) => &path[at + 1..],
        None => path,
    }
}

/// One end of a copy: `NAME:PATH` is in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A path of the host.
    Host(Utf8PathBuf),
    /// The name of a sandbox, and a path in its guest.
    Guest(String, String),
}

impl End {
    /// Parses an end like docker cp: with a slash or a dot before the colon, it is a path of the host.
    pub fn new(text: &str) -> Self {
        match text.split_once(':') {
            Some((name, path)) if !name.is_empty() && !name.contains(['/', '.']) => {
                Self::Guest(name.to_owned(), path.to_owned())
            }
            _ => Self::Host(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_marks_a_path_in_a_sandbox() {
        let guest = |name: &str, path: &str| End::Guest(name.into(), path.into());
        assert_eq!(End::new("demo:work/a:b"), guest("demo", "work/a:b"));
        assert_eq!(End::new("demo:"), guest("demo", ""));
        for host in ["a", "./a:b", "/a:b", "a/b:c", ":a", "../a:b"] {
            assert_eq!(End::new(host), End::Host(host.into()));
        }
    }
}
