//! Applies an untrusted patch: makes the newer disk from the older one.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_fs::Replace;
use rave_image::digest::{Digest, Hasher};
use rave_process::interrupt;
use rave_process::progress::{Event, Sink, Unit};
use zstd::zstd_safe::{DCtx, get_error_name};

use super::MAGIC;
use super::dense::{self, Disk, EachBlock, ZEROS, invalid, longest};
use super::header::{Header, LIMIT};
use super::make::longest_frame;
use crate::error::{Error, IoContext as _};

/// Its name in progress events.
pub const STAGE: &str = "patch";

/// Reads the header; the records follow.
pub fn read_header(from: &mut dyn Read) -> io::Result<Header> {
    let mut head = [0; 12];
    from.read_exact(&mut head).map_err(cut)?;
    if head[..8] != *MAGIC {
        return Err(invalid("it is not a patch"));
    }
    let length = u64::from(u32::from_le_bytes([head[8], head[9], head[10], head[11]]));
    if length > LIMIT {
        return Err(invalid(format!("its header has {length} bytes, at most {LIMIT} are allowed")));
    }
    let mut text = Vec::new();
    from.take(length).read_to_end(&mut text)?;
    if text.len() as u64 != length {
        return Err(cut(io::ErrorKind::UnexpectedEof.into()));
    }
    Header::parse(&text).map_err(invalid)
}

fn cut(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { invalid("it is truncated") } else { error }
}

/// Reads the records after the header, and visits every block of the newer disk in order. The blocks must not be
/// trusted unless the whole disk matches the header; otherwise the error kind is invalid data.
pub fn apply(
    header: &Header,
    from: &mut dyn Read,
    base: &(impl Disk + ?Sized),
    each: &mut EachBlock<'_>,
) -> io::Result<()> {
    let mut hasher = Hasher::default();
    let (mut prefix, mut frame) = (Vec::new(), Vec::new());
    for number in 0..header.chunks() {
        interrupt::check().map_err(io::Error::other)?;
        let (start, length) = header.place(number);
        let mut count = [0; 8];
        from.read_exact(&mut count).map_err(cut)?;
        let count = u64::from_le_bytes(count);
        if count > longest_frame(length) {
            return Err(invalid(format!("a record has {count} bytes, which no chunk has")));
        }
        frame.clear();
        from.take(count).read_to_end(&mut frame)?;
        if frame.len() as u64 != count {
            return Err(invalid("it is truncated"));
        }
        let own = if count == 0 {
            if start + length > header.base.size {
                return Err(invalid("a chunk should be in the older disk, which ends before it"));
            }
            dense::read(base, start, length, &mut prefix)?;
            std::mem::take(&mut prefix)
        } else {
            let (from, count) = header.prefix(number);
            dense::read(base, from, count, &mut prefix)?;
            unpack(&frame, &prefix, longest(length))?
        };
        dense::blocks(&own, length, &mut |at, block| {
            hasher.update(block.unwrap_or(&ZEROS));
            each(start + at, block)
        })?;
    }
    if from.read(&mut [0])? > 0 {
        return Err(invalid("there is data after its last record"));
    }
    let found = hasher.finish();
    if found != header.target.sha256 {
        return Err(invalid(format!(
            "it makes a disk of SHA-256 {found}, and says {}",
            header.target.sha256
        )));
    }
    Ok(())
}

fn unpack(frame: &[u8], prefix: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let failed = |code: usize| invalid(format!("a record is damaged: zstd: {}", get_error_name(code)));
    let mut own = Vec::with_capacity(limit);
    let mut context = DCtx::create();
    context.ref_prefix(prefix).map_err(failed)?;
    context.decompress(&mut own, frame).map_err(failed)?;
    Ok(own)
}

/// Makes the newer disk in `to`, sparse and atomically. A base that is a different disk is refused first.
pub fn into_file(
    header: &Header,
    (patch, from): (&Utf8Path, &mut dyn Read),
    base: &Utf8Path,
    to: &Utf8Path,
    sink: Sink<'_>,
) -> Result<(), Error> {
    let disk = File::open(base).at("open", base)?;
    let size = disk.metadata().at("read", base)?.len();
    let wanted = &header.base;
    // A disk may have grown in its container, with nothing after its original end.
    let found = if size >= wanted.size {
        Some(Digest::of_reader((&disk).take(wanted.size)).at("read", base)?)
    } else {
        None
    };
    if found != Some(wanted.sha256) {
        let found = found.map_or(format!("it has {size} bytes"), |found| format!("its SHA-256 is {found}"));
        return Err(Error::OtherBase { version: wanted.version.clone(), found });
    }
    let total = Some(header.target.size);
    let mut damage = None;
    let written = Replace::new(to).write_with(|file| {
        file.set_len(header.target.size)?;
        let done = apply(header, from, &disk, &mut |at, block| {
            if at % header.chunk == 0 {
                sink(Event::StageProgress { stage: STAGE, done: at, total, unit: Unit::Bytes });
            }
            block.map_or(Ok(()), |block| file.write_all_at(block, at))
        });
        if let Err(error) = &done
            && error.kind() == io::ErrorKind::InvalidData
        {
            damage = Some(error.to_string());
        }
        done
    });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    match damage {
        Some(why) => Err(Error::damaged(patch, why)),
        None => written.at("write", to),
    }
}
