//! Converts a folder to a stream.

use std::io::{self, Read as _, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::beneath::{Kind, PARTIAL, Root};
use super::path::join;
use super::wire::{PIECE, Record, Stamp, Writer};

/// Two changes within this time may have the same time stamp: more than a tick of any kernel.
const RACY: Duration = Duration::from_millis(50);

/// Whether contents are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Only records.
    Stat,
    /// Everything.
    Send,
}

/// A stamp that a later change of the file cannot have too.
pub fn sure(stamp: Stamp) -> Stamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let latest = u64::try_from(now.saturating_sub(RACY).as_nanos()).unwrap_or(u64::MAX);
    Stamp { changed: if stamp.changed < latest { stamp.changed } else { 0 }, ..stamp }
}

/// Writes a record for `from` and, if it is a folder, for everything below it. An empty path is the root, which has no
/// record. `skip` decides by path what is left out.
pub fn pack<W: Write>(
    root: &Root,
    from: &[u8],
    contents: Contents,
    skip: &dyn Fn(&[u8]) -> bool,
    to: &mut Writer<W>,
) -> io::Result<()> {
    let mut open = vec![from.to_vec()];
    while let Some(path) = open.pop() {
        let is_folder = if path.is_empty() { true } else { entry(root, &path, contents, to)? };
        if !is_folder {
            continue;
        }
        match root.names(&path) {
            Ok(names) => {
                let inside = names.iter().rev().filter(|name| !name.ends_with(PARTIAL));
                open.extend(inside.map(|name| join(&path, name)).filter(|path| !skip(path)));
            }
            Err(error) if path.is_empty() => return Err(error),
            Err(error) => to.record(&Record::Failed { path, why: error.to_string() })?,
        }
    }
    Ok(())
}

/// Writes one record. Returns whether it is a folder.
fn entry<W: Write>(root: &Root, path: &[u8], contents: Contents, to: &mut Writer<W>) -> io::Result<bool> {
    let owned = path.to_vec();
    let found = match root.find(path) {
        Ok(Some(found)) => found,
        // It was removed since its folder was read.
        Ok(None) => return Ok(false),
        Err(error) => {
            to.record(&Record::Failed { path: owned, why: error.to_string() })?;
            return Ok(false);
        }
    };
    match (found.kind, contents) {
        (Kind::Folder, _) => {
            to.record(&Record::Folder { path: owned, mode: found.mode })?;
            return Ok(true);
        }
        (Kind::File, Contents::Stat) => {
            to.record(&Record::Stat { path: owned, mode: found.mode, stamp: sure(found.stamp) })?;
        }
        (Kind::File, Contents::Send) => send(root, path, to)?,
        (Kind::Link, _) => match root.read_link(path) {
            Ok(target) => to.record(&Record::Link { path: owned, target })?,
            Err(error) => to.record(&Record::Failed { path: owned, why: error.to_string() })?,
        },
        (Kind::Other, _) => to.record(&Record::Other { path: owned })?,
    }
    Ok(false)
}

/// Writes a file with its content.
pub fn send<W: Write>(root: &Root, path: &[u8], to: &mut Writer<W>) -> io::Result<()> {
    let (mut file, found) = match root.read(path) {
        Ok(opened) => opened,
        Err(error) => return to.record(&Record::Failed { path: path.to_vec(), why: error.to_string() }),
    };
    to.record(&Record::File { path: path.to_vec(), mode: found.mode })?;
    let mut buffer = vec![0; PIECE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return to.end_content(),
            Ok(count) => to.piece(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What was sent cannot be taken back: the stream ends here, incomplete.
            Err(error) => return Err(error),
        }
    }
}
