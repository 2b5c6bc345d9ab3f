//! Merges the input archives of several parts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::slice;

use camino::Utf8Path;
use rave_image::digest::Hasher;
use rave_process::interrupt;

use super::inputs::{Packed, pack};
use super::part::ReleasePart;
use super::plan::Plan;
use crate::error::{Error, IoContext as _};
use crate::folder::Folder;
use crate::inputs::{self, Entry};
use crate::manifest::{Part, ReleaseFile};
use crate::relative_path::RelativePath;

/// Writes the same archive and list of sources as a single host would have written.
pub(super) fn join(plan: &Plan, parts: &[ReleasePart], folder: &Utf8Path) -> Result<Packed, Error> {
    let room = folder.with_file_name("inputs");
    clear(&room)?;
    let mut found = BTreeMap::new();
    for part in parts {
        unpack(part, &room, &mut found)?;
    }
    let inputs: Vec<_> = found.values().map(|entry: &Entry| entry.input(&room)).collect();
    let packed = pack(plan, &inputs, folder)?;
    clear(&room)?;
    Ok(packed)
}

fn clear(room: &Utf8Path) -> Result<(), Error> {
    match fs::remove_dir_all(room) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", room, error)),
        _ => Ok(()),
    }
}

/// Adds the inputs of a part that no previous part had.
fn unpack(
    part: &ReleasePart,
    room: &Utf8Path,
    found: &mut BTreeMap<RelativePath, Entry>,
) -> Result<(), Error> {
    let Some(archive) = part.inputs() else {
        return Err(Error::damaged(part.folder(), "it has no archive of inputs"));
    };
    let path = part.folder().join(archive.name.as_str());
    let from = Folder::open(part.folder()).at("open", part.folder())?;
    let mut pieces = Pieces::of(archive, &from);
    let read = inputs::read(&mut pieces, &mut |entry, content| take(entry, content, room, found));
    let drained = io::copy(&mut pieces, &mut io::sink());
    interrupt::check().map_err(|_| Error::Interrupted)?;
    read.map_err(|why| Error::damaged(&path, why))?;
    drained.at("read", &path)?;
    if pieces.hasher.finish() != archive.sha256 {
        return Err(Error::damaged(&path, "it is not the file that part.json describes"));
    }
    Ok(())
}

fn take(
    entry: &Entry,
    content: &mut dyn Read,
    room: &Utf8Path,
    found: &mut BTreeMap<RelativePath, Entry>,
) -> io::Result<()> {
    if let Some(known) = found.get(&entry.path) {
        let same = "another part has another file of this name";
        return if known == entry { Ok(()) } else { Err(io::Error::other(same)) };
    }
    let place = room.join(entry.path.as_str());
    fs::create_dir_all(place.parent().unwrap_or(room))?;
    io::copy(content, &mut File::create_new(&place)?)?;
    found.insert(entry.path.clone(), entry.clone());
    Ok(())
}

/// A file that may be split, as one stream.
struct Pieces<'a> {
    from: &'a Folder,
    whole: Option<(&'a RelativePath, u64)>,
    parts: slice::Iter<'a, Part>,
    current: Option<io::Take<File>>,
    hasher: Hasher,
}

impl<'a> Pieces<'a> {
    fn of(file: &'a ReleaseFile, from: &'a Folder) -> Self {
        let whole = file.parts.is_empty().then_some((&file.name, file.size));
        Self { from, whole, parts: file.parts.iter(), current: None, hasher: Hasher::default() }
    }

    fn open_next(&mut self) -> io::Result<Option<io::Take<File>>> {
        let next = self.whole.take().or_else(|| self.parts.next().map(|part| (&part.name, part.size)));
        let Some((name, size)) = next else { return Ok(None) };
        let about = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        let file = self.from.file(name).map_err(about)?;
        let found = file.metadata().map_err(about)?.len();
        if found != size {
            return Err(io::Error::other(format!("{name} has {found} bytes, not {size}")));
        }
        Ok(Some(file.take(size)))
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::check().map_err(io::Error::other)?;
        loop {
            if self.current.is_none() {
                self.current = self.open_next()?;
            }
            let Some(current) = &mut self.current else { return Ok(0) };
            let count = current.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.hasher.update(&buffer[..count]);
                return Ok(count);
            }
            self.current = None;
        }
    }
}
