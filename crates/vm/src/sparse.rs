//! Copies of files with holes.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use rustix::fs::SeekFrom as Sparse;
use rustix::io::Errno;

/// Copies a sparse file into an empty one; holes stay holes.
pub(crate) fn copy_sparse(from: &File, to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0;
    while at < length {
        let begin = match rustix::fs::seek(from, Sparse::Data(at)) {
            Ok(begin) => begin,
            // No data from there on, lseek(2). Other errors are reported: the copy would have zeros instead of the
            // data.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, Sparse::Hole(begin))?;
        let (mut source, mut target) = (from, to);
        source.seek(SeekFrom::Start(begin))?;
        target.seek(SeekFrom::Start(begin))?;
        // Copied by the kernel, which shares the blocks if the file system supports it (copy_file_range(2)).
        io::copy(&mut io::Read::take(source, end - begin), &mut target)?;
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    #[test]
    fn a_file_with_unreadable_extents_is_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        // It has a length, but does not support seeking (open(2), "O_PATH").
        let from = rustix::fs::open(&path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        let error = copy_sparse(&from.into(), &tempfile::tempfile().unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }

    #[test]
    fn a_sparse_file_is_copied_with_its_holes() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(1 << 30).unwrap();
        for offset in [0, 77 << 20] {
            from.write_all_at(b"abc", offset).unwrap();
        }
        copy_sparse(&from, &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 1 << 30);
        for offset in [0, 77 << 20] {
            let mut bytes = [0; 3];
            to.read_exact_at(&mut bytes, offset).unwrap();
            assert_eq!(&bytes, b"abc");
        }
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
