//! Unpacks compressed files as streams.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use camino::Utf8Path;
use flate2::bufread::MultiGzDecoder;
use rave_process::{Cmd, interrupt};

use super::container::{HEAD, Packing};
use super::node::qemu_img_message;
use crate::formats::zst;

/// The largest file that is written: larger than any guest's disk.
const LARGEST: u64 = 64 << 40;

/// How long a program may take for the start of a file.
const DEADLINE: Duration = Duration::from_secs(60);

/// The unit that is either written or left as a hole, bytes.
const CHUNK: usize = 64 << 10;

/// The first bytes of a file's content, enough to determine its type.
pub(crate) fn head(path: &Utf8Path, packing: Packing) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if packing == Packing::Gzip {
        gzip(path)?.take(HEAD).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        return Ok(bytes);
    }
    let mut target = tempfile::tempfile().map_err(|error| format!("no temporary file: {error}"))?;
    let stdout = target.try_clone().map_err(|error| error.to_string())?;
    let command = program(path, packing, HEAD).stdout_file(stdout).timeout(DEADLINE);
    // The program is stopped when it has written enough.
    let outcome = command.run(&mut |_| ());
    io::Seek::rewind(&mut target)
        .and_then(|()| target.read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    match outcome {
        Err(error) if bytes.is_empty() => Err(failed(path, packing, &error)),
        _ => Ok(bytes),
    }
}

/// Unpacks a file, with zeros as holes if that costs nothing extra.
pub(crate) fn whole(path: &Utf8Path, packing: Packing, target: &Utf8Path) -> Result<(), String> {
    let out = File::create_new(target).map_err(|error| format!("cannot make {target}: {error}"))?;
    if packing == Packing::Gzip {
        return copy(&mut gzip(path)?, &out).map_err(|error| damaged(&error));
    }
    let command = program(path, packing, most(path, packing)).stdout_file(out);
    command.run(&mut |_| ()).map(drop).map_err(|error| failed(path, packing, &error))
}

/// The maximum size of a file's content: that of its headers, if they state it.
fn most(path: &Utf8Path, packing: Packing) -> u64 {
    let frames = || zst::frames(&mut File::open(path).ok()?).ok()?.content;
    let declared = if packing == Packing::Zstd { frames() } else { None };
    declared.map_or(LARGEST, |declared| declared.min(LARGEST))
}

fn gzip(path: &Utf8Path) -> Result<MultiGzDecoder<BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| format!("cannot open it: {error}"))?;
    Ok(MultiGzDecoder::new(BufReader::with_capacity(CHUNK, file)))
}

fn copy(from: &mut impl Read, to: &File) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut at = 0_u64;
    loop {
        chunk.clear();
        let count = from.take(CHUNK as u64).read_to_end(&mut chunk)?;
        if count == 0 {
            break;
        }
        if interrupt::requested().is_some() {
            return Err(io::Error::other("interrupted"));
        }
        if chunk.iter().any(|byte| *byte != 0) {
            to.write_all_at(&chunk, at)?;
        }
        at += count as u64;
        if at > LARGEST {
            return Err(io::Error::other("its content is larger than any disk"));
        }
    }
    to.set_len(at)?;
    (&*to).flush()
}

/// A header's size is not binding, so the system enforces the limit (prlimit(1)).
fn program(path: &Utf8Path, packing: Packing, most: u64) -> Cmd {
    let limit = format!("--fsize={most}");
    // xz creates holes by itself.
    let sparse = (packing == Packing::Zstd).then_some("--sparse");
    let arguments = [limit.as_str(), packing.name(), "-q", "-d", "-c"];
    Cmd::new("prlimit").args(arguments).args(sparse).arg(path.as_str())
}

fn failed(path: &Utf8Path, packing: Packing, error: &rave_process::Error) -> String {
    let name = packing.name();
    if rave_process::find_program(name).is_none() {
        return format!(
            "it is compressed by {name}, which this host does not have: install it, or unpack the file elsewhere with `{name} -d {path}`"
        );
    }
    format!("it is compressed by {name} and damaged or truncated: {}", qemu_img_message(error))
}

fn damaged(error: &io::Error) -> String {
    format!("it is compressed by gzip and damaged or truncated: {error}")
}
