//! Zeros of a disk, whether they are holes or written.

use std::fs::File;
use std::io;

/// Where the next data is, from `start` on; `start` itself where the system cannot tell.
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
    // Parts without an early end are what a compiler makes wide loads of.
    bytes.chunks(4096).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}
