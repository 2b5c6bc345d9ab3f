//! Which other files a layer names (QEMU's docs/interop/qcow2.rst, "Header"): a QEMU that a guest has taken over may
//! have written any name there, and programs that are not fenced read layers too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The magic number, and the version that all layers have.
const BEGINNING: &[u8] = b"QFI\xfb\0\0\0\x03";
/// Offsets in the header: of the backing file's name (a 64-bit offset), of its length, and of the incompatible
/// features.
const NAME_PLACE: usize = 8;
const NAME_LENGTH: usize = 16;
const FEATURES: usize = 72;
/// The data is in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// The longest name, bytes.
const NAME_MAX: usize = 1023;

/// The name of a layer's backing file.
pub(super) fn backing_name(file: &File) -> io::Result<String> {
    let mut header = [0; FEATURES + 8];
    file.read_exact_at(&mut header, 0)?;
    let number = |at: usize, length: usize| {
        header[at..at + length].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    if !header.starts_with(BEGINNING) || number(FEATURES, 8) & EXTERNAL_DATA != 0 {
        return Err(io::Error::other("it is not a layer that RAVE created"));
    }
    let length = usize::try_from(number(NAME_LENGTH, 4)).unwrap_or(usize::MAX);
    if length > NAME_MAX {
        return Err(io::Error::other("the name of its backing file is too long"));
    }
    let mut name = vec![0; length];
    file.read_exact_at(&mut name, number(NAME_PLACE, 8))?;
    String::from_utf8(name).map_err(io::Error::other)
}
