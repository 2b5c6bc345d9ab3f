//! Splits large files into parts: download hosts do not accept files over 2 GiB.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};

use camino::Utf8Path;
use rave_fs::Replace;
use rave_image::digest::{Digest, Hasher};
use rave_process::interrupt;

use crate::error::{Error, IoContext as _};
use crate::folder::CHUNK;
use crate::manifest::Part;
use crate::names;
use crate::relative_path::RelativePath;

/// The default maximum size of a release's file, bytes: 2000 MiB, below the 2 GiB limit of popular hosts.
pub const LIMIT: u64 = 2000 << 20;

/// A copied file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// The parts, if it was larger than the limit.
    pub parts: Vec<Part>,
}

/// Copies a file into `folder` as `name`, split if it is larger than `limit`. Each file is written under a temporary
/// name and renamed.
pub fn copy(from: &Utf8Path, folder: &Utf8Path, name: &RelativePath, limit: u64) -> Result<Copied, Error> {
    let mut source = File::open(from).at("open", from)?;
    let size = source.metadata().at("read", from)?.len();
    let mut whole = Hasher::default();
    let mut parts = Vec::new();
    let mut left = size;
    while left > 0 || parts.is_empty() {
        let name = if size > limit {
            names::part(name, parts.len()).map_err(|error| Error::damaged(from, error))?
        } else {
            name.clone()
        };
        let length = left.min(limit);
        let sha256 = copy_piece(&mut source, from, &folder.join(name.as_str()), length, &mut whole)?;
        parts.push(Part { name, size: length, sha256 });
        left -= length;
    }
    if size <= limit {
        parts.clear();
    }
    Ok(Copied { size, sha256: whole.finish(), parts })
}

fn copy_piece(
    source: &mut File,
    from: &Utf8Path,
    to: &Utf8Path,
    length: u64,
    whole: &mut Hasher,
) -> Result<Digest, Error> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let mut own = Hasher::default();
    let copied = Replace::new(to).write_with(|target| {
        let mut chunk = vec![0; CHUNK];
        let mut left = length;
        while left > 0 {
            interrupt::check().map_err(io::Error::other)?;
            let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let count = source.read(&mut chunk[..wanted])?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{from} became shorter")));
            }
            own.update(&chunk[..count]);
            whole.update(&chunk[..count]);
            target.write_all(&chunk[..count])?;
            left -= count as u64;
        }
        Ok(())
    });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    copied.at("write", to)?;
    Ok(own.finish())
}

/// Writes a file atomically, and creates its folder if necessary.
pub(crate) fn write_whole(path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    Replace::new(path).write(bytes).at("write", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_split_and_can_be_joined() {
        let place = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(place.path()).unwrap();
        for (length, limit, expected) in [(0_usize, 4_u64, 0_usize), (4, 4, 0), (5, 4, 2), (12, 4, 3)] {
            let bytes: Vec<u8> = (0_u8..).take(length).collect();
            fs::write(place.join("source"), &bytes).unwrap();
            let folder = place.join(format!("{length}"));
            let copied = copy(&place.join("source"), &folder, &"a".parse().unwrap(), limit).unwrap();
            assert_eq!((copied.size, copied.parts.len()), (length as u64, expected));
            assert_eq!(copied.sha256, Digest::of_bytes(&bytes));
            let names = copied.parts.iter().map(|part| part.name.as_str());
            let names: Vec<_> = if expected == 0 { vec!["a"] } else { names.collect() };
            let joined: Vec<u8> =
                names.iter().flat_map(|name| fs::read(folder.join(name)).unwrap()).collect();
            assert_eq!(joined, bytes);
        }
    }
}
