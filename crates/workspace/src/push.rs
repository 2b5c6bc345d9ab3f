//! Copies a folder of the host into a sandbox.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write};

use camino::Utf8Path;
use rave_guest::tree::beneath::Root;
use rave_guest::tree::serve::Task;
use rave_guest::tree::wire::{PIECE, Reader, Record as Wire, Writer};
use serde::Serialize;

use crate::blobs::{BlobWriter, Blobs};
use crate::byte_path::BytePath;
use crate::content::Content;
use crate::entry::{Entry, Stamp, is_executable, same};
use crate::error::Error;
use crate::guest::{Guest, run_task};
use crate::history::{self, History};
use crate::pull::{self, LISTING};
use crate::record::{Known, Place, Pull, Record, now};
use crate::secrets::{HEAD, Secrets};
use crate::select::{Choice, Seen, Selection, select};

/// The options of a push.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The folder on the host; the one that was pushed before if absent.
    pub source: Option<&'a Utf8Path>,
    /// The folder in the guest, relative to its user's home.
    pub folder: &'a str,
    /// Paths or patterns to copy even if they are ignored or look like secrets.
    pub include: &'a [String],
    /// The rules for secrets.
    pub secrets: &'a Secrets,
    /// Overwrite what the guest has changed.
    pub force: bool,
    /// Also copy the repository's history, with the first push only.
    pub history: bool,
}

/// The result of a push.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// Whether this is the first push.
    pub is_first: bool,
    /// The number of files, links and folders that were copied.
    pub sent: usize,
    /// The bytes of files.
    pub bytes: u64,
    /// The number of paths that were removed because they are gone from the host.
    pub removed: usize,
    /// Paths that look like secrets and were not copied, and why.
    pub withheld: BTreeMap<BytePath, String>,
    /// Paths that could not be copied, and why.
    pub left: Vec<(BytePath, String)>,
    /// Paths that both sides have changed since the last push: the guest's version stays.
    pub conflicts: BTreeSet<BytePath>,
    /// Names that matched nothing.
    pub unused: Vec<String>,
    /// The history that was copied.
    pub history: Option<History>,
}

/// Pushes. The caller holds the lock of the place.
pub fn push(place: &Place, push: Push<'_>, guest: &dyn Guest) -> Result<Pushed, Error> {
    let earlier = Record::find(place)?;
    let is_first = earlier.is_none();
    if push.history && earlier.as_ref().is_some_and(|record| record.has_history) {
        return Err(Error::HasHistory);
    }
    let mut record = match (earlier, push.source) {
        (Some(record), Some(asked)) if record.source != asked => {
            return Err(Error::OtherFolder { known: record.source, asked: asked.to_owned() });
        }
        (Some(record), _) => record,
        (None, Some(source)) => Record::new(source, push.folder),
        (None, None) => return Err(Error::NoWorkspace),
    };
    for text in push.include {
        if !record.include.contains(text) {
            record.include.push(text.clone());
        }
    }
    let selection = select(&record.source, Choice { include: &record.include, secrets: push.secrets })?;
    let history = if push.history { found_history(&record, &selection)? } else { None };
    let found_secrets = match &history {
        Some(history) => Some(history.find_secrets(push.secrets, &record.include)?),
        None => None,
    };
    // Find the guest's changes first, so that none are overwritten.
    let theirs = if is_first { Pull::default() } else { pull::pull(place, &mut record, guest)? };
    let mut send = Send::new(&record, &selection, &theirs, push, place.blobs())?;
    let mut contents = place.blobs().writer().map_err(Error::io("write", "the contents of the workspace"))?;
    let task = Task::Put(record.guest.clone().into());
    let ((), listing) = run_task(guest, &task, |to| send.run(to, &mut contents), |from| answer(from))?;
    contents.finish().map_err(Error::io("write", "the contents of the workspace"))?;
    let done = send.done;
    record.is_git = selection.is_git;
    record.excludes = selection.excludes;
    record.pushed = now();
    record.withheld = done.withheld.clone();
    for path in &done.removed_paths {
        record.entries.remove(path);
    }
    for (path, mut known) in done.known {
        if let Some(why) = listing.failed.get(&path) {
            return Err(Error::Guest { why: format!("{path}: {why}") });
        }
        known.guest = listing.stamps.get(&path).copied();
        record.entries.insert(path, known);
    }
    record.save(place)?;
    // Also do this if an earlier push was killed before it.
    if selection.is_git && !record.has_history {
        match &history {
            Some(history) => history.send(guest, &record.guest)?,
            None => begin_history(guest, &record)?,
        }
        record.has_history = true;
        record.save(place)?;
    }
    let mut left = selection.left;
    left.extend(done.left);
    Ok(Pushed {
        is_first,
        sent: done.sent,
        bytes: done.bytes,
        removed: done.removed_paths.len(),
        withheld: done.withheld,
        left,
        conflicts: done.conflicts,
        unused: if is_first { selection.unused } else { Vec::new() },
        history: found_secrets,
    })
}

/// The history of a folder, which must be in a repository; nothing if that has no commit yet.
fn found_history(record: &Record, selection: &Selection) -> Result<Option<history::Found>, Error> {
    if !selection.is_git {
        return Err(Error::NoRepository { folder: record.source.clone() });
    }
    history::find(&record.source)
}

/// Commits what was pushed in a new repository of the guest. To be fast, contents are not compressed and go into one
/// pack, as git does with large files.
fn begin_history(guest: &dyn Guest, record: &Record) -> Result<(), Error> {
    let script = "cd \"$1\"; test -d .git && git rev-parse --verify --quiet HEAD >&2 && exec sync --file-system .; rm -f .git/index.lock; set -e; git init --quiet; \
                  git -c core.compression=0 -c core.bigFileThreshold=1 add --all --force; \
                  git -c core.compression=0 -c user.name=rave -c user.email=rave@localhost commit --quiet --no-verify --allow-empty \
                  --message 'As it was pushed'; sync --file-system .";
    let command = ["sh", "-c", script, "rave", &record.guest].map(str::to_owned);
    guest.run(&command, None, &mut io::sink()).map_err(|why| Error::Guest { why })
}

struct Answer {
    stamps: BTreeMap<BytePath, Stamp>,
    failed: BTreeMap<BytePath, String>,
}

fn answer(from: &mut dyn io::Read) -> io::Result<Answer> {
    let mut reader = Reader::new(from, LISTING)?;
    let mut answer = Answer { stamps: BTreeMap::new(), failed: BTreeMap::new() };
    while let Some(record) = reader.next()? {
        match record {
            Wire::Stat { path, mode, stamp } => {
                answer.stamps.insert(BytePath(path), Stamp::new(stamp, mode));
            }
            Wire::Failed { path, why } => drop(answer.failed.insert(BytePath(path), why)),
            _ => {}
        }
    }
    Ok(answer)
}

#[derive(Default)]
struct Done {
    sent: usize,
    bytes: u64,
    known: Vec<(BytePath, Known)>,
    removed_paths: Vec<BytePath>,
    withheld: BTreeMap<BytePath, String>,
    left: Vec<(BytePath, String)>,
    conflicts: BTreeSet<BytePath>,
}

struct Send<'a> {
    root: Root,
    record: &'a Record,
    selection: &'a Selection,
    theirs: &'a Pull,
    push: Push<'a>,
    blobs: Blobs,
    include: Vec<crate::pattern::Pattern>,
    done: Done,
}

impl<'a> Send<'a> {
    fn new(
        record: &'a Record,
        selection: &'a Selection,
        theirs: &'a Pull,
        push: Push<'a>,
        blobs: Blobs,
    ) -> Result<Self, Error> {
        Ok(Self {
            root: Root::open(record.source.as_std_path()).map_err(Error::io("open", &record.source))?,
            record,
            selection,
            theirs,
            push,
            blobs,
            include: record.include.iter().map(|text| crate::pattern::Pattern::new(text)).collect(),
            done: Done { withheld: selection.withheld.clone(), ..Done::default() },
        })
    }

    fn run(&mut self, to: &mut dyn Write, contents: &mut BlobWriter) -> Result<(), Error> {
        let mut to = Writer::new(to).map_err(lost)?;
        self.remove(&mut to)?;
        for (path, seen) in &self.selection.entries {
            self.send(path, seen, &mut to, contents)?;
        }
        to.finish().map_err(lost)
    }

    /// Removes paths that are gone from the host, from the inside out. Paths that are merely no longer copied stay.
    fn remove(&mut self, to: &mut Writer<&mut dyn Write>) -> Result<(), Error> {
        for path in self.record.entries.keys().rev() {
            let is_removed = !self.selection.entries.contains_key(path)
                && matches!(self.root.find(path.bytes()), Ok(None));
            if !is_removed {
                continue;
            }
            if self.is_conflict(path, None) {
                self.done.conflicts.insert(path.clone());
                continue;
            }
            to.record(&Wire::Remove { path: path.bytes().to_vec() }).map_err(lost)?;
            self.done.removed_paths.push(path.clone());
        }
        Ok(())
    }

    fn send(
        &mut self,
        path: &BytePath,
        seen: &Seen,
        to: &mut Writer<&mut dyn Write>,
        contents: &mut BlobWriter,
    ) -> Result<(), Error> {
        let before = self.record.entries.get(path);
        let bytes = path.bytes().to_vec();
        let (entry, host, wire) = match seen {
            Seen::File(mode, stamp) => return self.file(path, *mode, *stamp, to, contents),
            Seen::Folder(mode) => (Entry::Folder, None, Wire::Folder { path: bytes, mode: *mode }),
            Seen::Link(target) => {
                let entry = Entry::Link { target: BytePath(target.clone()) };
                (entry, None, Wire::Link { path: bytes, target: target.clone() })
            }
        };
        if before.is_some_and(|before| before.entry.is_same(&entry)) {
            return Ok(());
        }
        if self.is_conflict(path, Some(&entry)) {
            self.done.conflicts.insert(path.clone());
            return Ok(());
        }
        to.record(&wire).map_err(lost)?;
        self.done.sent += 1;
        self.done.known.push((path.clone(), Known { entry, host, guest: None }));
        Ok(())
    }

    fn file(
        &mut self,
        path: &BytePath,
        mode: u32,
        stamp: Stamp,
        to: &mut Writer<&mut dyn Write>,
        contents: &mut BlobWriter,
    ) -> Result<(), Error> {
        let before = self.record.entries.get(path);
        if before.is_some_and(|before| stamp.proves(before.host)) {
            return Ok(());
        }
        let (mut file, _) = match self.root.read(path.bytes()) {
            Ok(opened) => opened,
            Err(error) => {
                self.done.left.push((path.clone(), error.to_string()));
                return Ok(());
            }
        };
        let mut head = vec![0; PIECE];
        let length = fill(&mut file, &mut head).map_err(Error::io("read", path))?;
        head.truncate(length);
        let secret = self.secret(path, &head[..length.min(HEAD)]);
        if before.is_none()
            && let Some(why) = secret
        {
            self.done.withheld.insert(path.clone(), why.to_owned());
            return Ok(());
        }
        let executable = is_executable(mode);
        // A new file is sent while it is read; a known one is compared first, and not sent if its content is the same.
        let is_known = before.is_some() || self.theirs.changes.contains_key(path);
        if is_known {
            let content =
                keep(&mut file, &head, contents, &mut |_| Ok(())).map_err(Error::io("read", path))?;
            let entry = Entry::File { executable, content };
            if before.is_some_and(|before| before.entry.is_same(&entry)) {
                let known = Known {
                    host: Some(stamp),
                    ..before.cloned().unwrap_or(Known { entry, host: None, guest: None })
                };
                // The guest's copy is unchanged: only the host's stamp is new.
                self.done.known.push((path.clone(), known));
                return Ok(());
            }
            if let Some(why) = secret
                && !self.had_secret(path, before)?
            {
                self.done.withheld.insert(path.clone(), why.to_owned());
                return Ok(());
            }
            if self.is_conflict(path, Some(&entry)) {
                self.done.conflicts.insert(path.clone());
                return Ok(());
            }
            (file, _) = self.root.read(path.bytes()).map_err(Error::io("read", path))?;
            head.clear();
        }
        to.record(&Wire::File { path: path.bytes().to_vec(), mode }).map_err(lost)?;
        let mut sink = |piece: &[u8]| to.piece(piece);
        let content = keep(&mut file, &head, contents, &mut sink).map_err(Error::io("send", path))?;
        to.end_content().map_err(lost)?;
        self.done.sent += 1;
        self.done.bytes += content.size;
        let entry = Entry::File { executable, content };
        self.done.known.push((path.clone(), Known { entry, host: Some(stamp), guest: None }));
        Ok(())
    }

    /// Why a file's first bytes look like a secret that was not named.
    fn secret(&self, path: &BytePath, head: &[u8]) -> Option<&'a str> {
        let why = self.push.secrets.of_content(head)?;
        let is_named = self.include.iter().any(|pattern| pattern.matches(path.bytes()));
        (!is_named).then_some(why)
    }

    /// Whether the guest's file looked like a secret already.
    fn had_secret(&self, path: &BytePath, before: Option<&Known>) -> Result<bool, Error> {
        let Some(content) = before.and_then(|before| before.entry.content()) else { return Ok(false) };
        let mut head = Vec::new();
        let read = self.blobs.open(content).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head));
        read.map_err(Error::io("read", path))?;
        Ok(self.push.secrets.of_content(&head).is_some())
    }

    /// Whether the guest has changed a path in a different way.
    fn is_conflict(&self, path: &BytePath, ours: Option<&Entry>) -> bool {
        let changed = self.theirs.changes.get(path);
        !self.push.force && changed.is_some_and(|pulled| !same(pulled.entry.as_ref(), ours))
    }
}

fn lost(source: io::Error) -> Error {
    Error::io("send to", "the guest")(source)
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Stores a content whose beginning is in `head`, and passes each piece to `sink`.
fn keep(
    file: &mut std::fs::File,
    head: &[u8],
    contents: &mut BlobWriter,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Content> {
    let mut blob = contents.begin();
    let mut piece = head.to_vec();
    let mut buffer = vec![0; PIECE];
    loop {
        blob.write(&piece)?;
        sink(&piece)?;
        let length = match file.read(&mut buffer) {
            Ok(0) => return Ok(blob.finish()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        piece.clear();
        piece.extend_from_slice(&buffer[..length]);
    }
}
