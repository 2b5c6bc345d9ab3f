//! Zeros of a disk, as holes or as written bytes.

use std::fs::File;
use std::io;

/// The offset of the next data from `start` on; `start` itself if the system does not know.
pub(super) fn next_data(file: &File, start: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(start)) {
        Ok(place) => Ok(place),
        // ENXIO: only a hole follows (lseek(2)).
        Err(rustix::io::Errno::NXIO) => Ok(u64::MAX),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(start),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Fixed parts without an early exit let the compiler use wide loads.
    bytes.chunks(4096).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}
