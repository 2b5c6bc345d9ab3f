//! Copies the files of a release into the folder that becomes visible when it is complete.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::time::Instant;

use camino::Utf8Path;
use rave_fs::Replace;
use rave_process::interrupt;
use rave_process::progress::{Event, Sink, StageOutcome, Unit};

use crate::error::{Error, IoContext as _};
use crate::folder::Folder;
use crate::relative_path::RelativePath;

/// The name of this stage in progress events.
pub const STAGE: &str = "copy";

/// Bytes copied by the kernel between two checks for Ctrl-C.
const PIECE: u64 = 16 << 20;

/// Copies missing files. Files are written atomically, so a file with the right name and size is from an earlier run; a
/// verification follows. If the disk is full, the copy is removed.
pub(super) fn copy(
    from: &Utf8Path,
    to: &Utf8Path,
    files: &[RelativePath],
    sink: Sink<'_>,
) -> Result<(), Error> {
    let clock = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let source = Folder::open(from).at("open", from)?;
    let mut missing = Vec::new();
    for path in files {
        let at = from.join(path.as_str());
        let file = match source.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::damaged(
                    at,
                    "it is missing: parts that were joined are published as they were cut",
                ));
            }
            file => file.at("open", &at)?,
        };
        let size = file.metadata().at("read", &at)?.len();
        let published = fs::symlink_metadata(to.join(path.as_str()));
        if !published.is_ok_and(|published| published.is_file() && published.len() == size) {
            missing.push((path, size));
        }
    }
    let total = missing.iter().map(|(_, size)| size).sum();
    let free = rave_image::space::free_bytes(to).at("look at", to)?;
    if free < total {
        return Err(full(to, total, free));
    }
    let mut done = 0;
    for (path, size) in missing {
        let copied = one(&source, path, size, to, &mut |count| {
            done += count;
            sink(Event::StageProgress { stage: STAGE, done, total: Some(total), unit: Unit::Bytes });
        });
        match copied {
            // Something else took the space: free it for other users.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                fs::remove_dir_all(to).at("remove", to)?;
                return Err(full(to, total, done));
            }
            copied => copied?,
        }
    }
    sink(Event::StageFinished { stage: STAGE, elapsed: clock.elapsed(), outcome: StageOutcome::Built });
    Ok(())
}

fn full(path: &Utf8Path, needed: u64, free: u64) -> Error {
    Error::NoSpace { path: path.to_owned(), needed, free }
}

fn one(
    source: &Folder,
    path: &RelativePath,
    size: u64,
    to: &Utf8Path,
    read: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let target = to.join(path.as_str());
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let mut file = source.file(path).at("open", path.as_path())?;
    let written = Replace::new(&target).write_with(|target| pieces(&mut file, target, size, read));
    interrupt::check().map_err(|_| Error::Interrupted)?;
    written.at("write", &target)
}

fn pieces(from: &mut File, to: &mut File, size: u64, read: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        interrupt::check().map_err(io::Error::other)?;
        let count = io::copy(&mut from.take(left.min(PIECE)), to)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter"));
        }
        left -= count;
        read(count);
    }
    Ok(())
}
