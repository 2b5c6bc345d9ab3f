//! Writes a patch.

use std::fs::File;
use std::io::{self, Write as _};

use camino::Utf8Path;
use rave_fs::Replace;
use rave_image::digest::{Digest, Hasher};
use rave_process::interrupt;
use zstd::zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

use super::dense::{self, longest};
use super::header::Header;
use super::{LEVEL, MAGIC};
use crate::error::{Error, IoContext as _};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenPatch {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// Writes the patch from the older to the newer disk. The same disks give the same bytes with the same version of zstd.
pub fn make(header: &Header, (base, target): (&File, &File), to: &Utf8Path) -> Result<WrittenPatch, Error> {
    let mut made = WrittenPatch { size: 0, sha256: Digest::of_bytes(b"") };
    let mut hasher = Hasher::default();
    let done = Replace::new(to).write_with(|file| {
        let mut put = |bytes: &[u8]| {
            hasher.update(bytes);
            made.size += bytes.len() as u64;
            file.write_all(bytes)
        };
        let text = header.to_json();
        put(MAGIC)?;
        put(&u32::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes())?;
        put(text.as_bytes())?;
        let (mut prefix, mut own, mut frame) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..header.chunks() {
            interrupt::check().map_err(io::Error::other)?;
            let (start, length) = header.place(number);
            dense::read(target, start, length, &mut own)?;
            frame.clear();
            // The older disk has the same chunk at this position: the record is empty.
            let is_unchanged = start + length <= header.base.size && {
                dense::read(base, start, length, &mut prefix)?;
                prefix == own
            };
            if !is_unchanged {
                let (from, count) = header.prefix(number);
                dense::read(base, from, count, &mut prefix)?;
                compress(&own, &prefix, &mut frame)?;
            }
            put(&(frame.len() as u64).to_le_bytes())?;
            put(&frame)?;
        }
        Ok(())
    });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    done.at("write", to)?;
    made.sha256 = hasher.finish();
    Ok(made)
}

/// Compresses one frame in a single call: zstd then reads both buffers in place, without a separate window.
fn compress(own: &[u8], prefix: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
    let failed = |code: usize| io::Error::other(format!("zstd: {}", get_error_name(code)));
    frame.reserve(compress_bound(own.len()));
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(failed)?;
    context.set_parameter(CParameter::WindowLog(window(own.len() + prefix.len()))).map_err(failed)?;
    context.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
    context.ref_prefix(prefix).map_err(failed)?;
    context.compress2(frame, own).map(drop).map_err(failed)
}

/// The window as a power of two that spans the chunk and its prefix; zstd supports 10 to 31.
fn window(length: usize) -> u32 {
    length.next_power_of_two().ilog2().clamp(10, 31)
}

/// The maximum size of a frame.
pub(super) fn longest_frame(chunk: u64) -> u64 {
    compress_bound(longest(chunk)) as u64
}
