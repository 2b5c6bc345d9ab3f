//! Writes the archive.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};

use camino::Utf8Path;
use rave_fs::Replace;
use rave_image::digest::{Digest, Hasher};
use rave_image::inputs::Input;
use rave_process::interrupt;

use super::index::{Entry, INDEX, Index};
use crate::error::{Error, IoContext as _};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// The members for these inputs. Each must match its lock.
pub fn entries(inputs: &[Input]) -> Result<Vec<Entry>, Error> {
    let entry = |input: &Input| {
        interrupt::check().map_err(|_| Error::Interrupted)?;
        let sha256 = Digest::of_file(&input.file).at("read", &input.file)?;
        if let Some(locked) = input.locked.filter(|locked| *locked != sha256) {
            return Err(Error::damaged(
                &input.file,
                format!(
                    "its SHA-256 is {sha256}, the lock says {locked} of {} {}",
                    input.name, input.version
                ),
            ));
        }
        let size = std::fs::metadata(&input.file).at("read", &input.file)?.len();
        let path = input.path.parse().map_err(|why: String| Error::damaged(&input.file, why))?;
        let (name, version) = (input.name.clone(), input.version.clone());
        Ok(Entry { path, kind: input.kind, name, version, integrity: input.integrity.clone(), size, sha256 })
    };
    inputs.iter().map(entry).collect()
}

/// Writes the archive: the same bytes for the same inputs and the same time, seconds since 1970.
pub fn write(inputs: &[Input], index: &Index, epoch: u64, target: &Utf8Path) -> Result<Written, Error> {
    let mut written = Written { size: 0, sha256: Digest::of_bytes(b"") };
    let done = Replace::new(target).write_with(|file| {
        let mut tee = Tee { to: BufWriter::new(file), hasher: Hasher::default(), size: 0 };
        let mut builder = tar::Builder::new(&mut tee);
        let text = index.to_json();
        append(&mut builder, INDEX, text.len() as u64, epoch, &mut text.as_bytes())?;
        for (input, entry) in inputs.iter().zip(&index.inputs) {
            interrupt::check().map_err(io::Error::other)?;
            let file = File::open(&input.file)?;
            if file.metadata()?.len() != entry.size {
                return Err(io::Error::other(format!("{} changed while it was read", input.file)));
            }
            append(&mut builder, entry.path.as_str(), entry.size, epoch, &mut file.take(entry.size))?;
        }
        builder.finish()?;
        drop(builder);
        tee.flush()?;
        written = Written { size: tee.size, sha256: tee.hasher.finish() };
        Ok(())
    });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    done.at("write", target)?;
    Ok(written)
}

fn append(
    builder: &mut tar::Builder<impl io::Write>,
    path: &str,
    size: u64,
    epoch: u64,
    content: &mut dyn io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    builder.append(&header, content)
}

struct Tee<W: io::Write> {
    to: W,
    hasher: Hasher,
    size: u64,
}

impl<W: io::Write> io::Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
