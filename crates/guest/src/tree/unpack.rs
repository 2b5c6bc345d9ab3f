//! Converts a stream to a folder.

use std::io::{self, Read, Write as _};

use super::beneath::{Kind, Root};
use super::path::split;
use super::wire::{Reader, Record};

/// The result of unpacking.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The number of files, links and folders that were written.
    pub written: u64,
    /// The bytes of files.
    pub bytes: u64,
    /// Paths that could not be written, or were not sent, and why.
    pub left: Vec<(Vec<u8>, String)>,
}

/// The largest number of paths in [`Unpacked::left`].
const MOST_LEFT: usize = 1000;

/// Options for unpacking.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A mask for the mode.
    pub mode: u32,
    /// Whether a file may replace a folder with its content, and a folder a file.
    pub replaces_kinds: bool,
}

/// Writes the stream `from` below `root`. Files replace those of the same name. `place` returns the path for each
/// record, or the reason to leave it out.
pub fn unpack<R: Read>(
    root: &Root,
    from: &mut Reader<R>,
    options: Options,
    place: &dyn Fn(&Record) -> Result<Vec<u8>, String>,
) -> io::Result<Unpacked> {
    let mut done = Unpacked::default();
    let mut modes = Vec::new();
    while let Some(record) = from.next()? {
        let path = match place(&record) {
            Ok(path) => path,
            Err(why) => {
                leave(&mut done, path_of(&record), why);
                continue;
            }
        };
        match write(root, from, &record, &path, options, &mut modes) {
            Ok(bytes) => {
                done.written += 1;
                done.bytes += bytes;
            }
            Err(Fault::Stream(error)) => return Err(error),
            Err(Fault::Disk(error)) if is_fatal(&error) => return Err(error),
            Err(Fault::Disk(error)) => leave(&mut done, &path, error.to_string()),
        }
    }
    // Set modes last, because a folder may be read-only; from the inside out.
    for (path, mode) in modes.into_iter().rev() {
        if let Err(error) = root.set_folder_mode(&path, mode) {
            leave(&mut done, &path, error.to_string());
        }
    }
    Ok(done)
}

fn leave(done: &mut Unpacked, path: &[u8], why: String) {
    if done.left.len() < MOST_LEFT {
        done.left.push((path.to_vec(), why));
    }
}

/// The path of a record.
pub fn path_of(record: &Record) -> &[u8] {
    match record {
        Record::Folder { path, .. }
        | Record::File { path, .. }
        | Record::Stat { path, .. }
        | Record::Link { path, .. }
        | Record::Other { path }
        | Record::Remove { path }
        | Record::Failed { path, .. } => path,
    }
}

enum Fault {
    Stream(io::Error),
    Disk(io::Error),
}

/// Whether the next file would fail too.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn write<R: Read>(
    root: &Root,
    from: &mut Reader<R>,
    record: &Record,
    path: &[u8],
    options: Options,
    modes: &mut Vec<(Vec<u8>, u32)>,
) -> Result<u64, Fault> {
    let disk = |result: io::Result<()>| result.map_err(Fault::Disk);
    match record {
        Record::Folder { mode, .. } => {
            make_room(root, path, true, options).map_err(Fault::Disk)?;
            disk(root.make_folder(path))?;
            modes.push((path.to_vec(), *mode & options.mode));
        }
        Record::File { mode, .. } => {
            make_room(root, path, false, options).map_err(Fault::Disk)?;
            let mut new = root.new_file(path).map_err(Fault::Disk)?;
            let (mut piece, mut bytes) = (Vec::new(), 0);
            while from.piece(&mut piece).map_err(Fault::Stream)? {
                disk(new.file.write_all(&piece))?;
                bytes += piece.len() as u64;
            }
            disk(new.commit(*mode & options.mode))?;
            return Ok(bytes);
        }
        Record::Link { target, .. } => {
            make_room(root, path, false, options).map_err(Fault::Disk)?;
            disk(root.make_link(path, target))?;
        }
        Record::Remove { .. } => remove(root, path).map_err(Fault::Disk)?,
        Record::Failed { why, .. } => return Err(Fault::Disk(io::Error::other(why.clone()))),
        Record::Other { .. } => {
            return Err(Fault::Disk(io::Error::other("it is a pipe, a socket or a device")));
        }
        Record::Stat { .. } => return Err(Fault::Disk(io::Error::other("its content was not sent"))),
    }
    Ok(0)
}

/// Removes a file or a link, or a folder if it is empty: other content in it stays.
fn remove(root: &Root, path: &[u8]) -> io::Result<()> {
    match root.find(path)?.map(|found| found.kind) {
        Some(Kind::Folder) => root.remove_folder(path).map(drop),
        Some(_) => root.remove(path).map(drop),
        None => Ok(()),
    }
}

/// Creates the folders above a path, and removes an entry of another kind in its place.
fn make_room(root: &Root, path: &[u8], wants_folder: bool, options: Options) -> io::Result<()> {
    let (folder, _) = split(path);
    if !folder.is_empty() && root.find(folder)?.is_none_or(|found| found.kind != Kind::Folder) {
        root.make_folder(folder)?;
    }
    let is_folder = match root.find(path)?.map(|found| found.kind) {
        Some(Kind::Folder) if !wants_folder => true,
        Some(Kind::File | Kind::Link | Kind::Other) if wants_folder => false,
        _ => return Ok(()),
    };
    if !options.replaces_kinds {
        let what = if is_folder { "a folder has the same name" } else { "a file has the same name" };
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    root.remove_all(path)
}
