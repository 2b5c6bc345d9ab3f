//! Network file systems. Locks, sockets and processes exist on one host only: another host would consider the sandboxes
//! that run here stopped, and would start or remove them.

use std::io::ErrorKind;

use camino::Utf8Path;
use rustix::fs::statfs;

use crate::error::Error;

/// The numbers of `f_type`, statfs(2).
const OF_MANY: [(u32, &str); 7] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Refuses a folder on a network file system, or one that would be created there.
pub(crate) fn refuse_of_many(folder: &Utf8Path) -> Result<(), Error> {
    for path in folder.ancestors() {
        match statfs(path.as_std_path()) {
            Ok(about) => {
                return of_many(about.f_type.cast_unsigned())
                    .map_or(Ok(()), |kind| Err(refused(folder, kind)));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Error::io("read", path, error.into())),
        }
    }
    Ok(())
}

fn refused(folder: &Utf8Path, kind: &'static str) -> Error {
    Error::OfManyHosts { path: folder.to_owned(), kind }
}

/// The name of a network file system. The number has 32 bits, whatever its type.
fn of_many(number: u64) -> Option<&'static str> {
    OF_MANY.iter().find(|(known, _)| u64::from(*known) == number & 0xffff_ffff).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_file_systems_are_distinguished_from_local_ones() {
        // NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC as a negative number of 32 bits; EXT4_SUPER_MAGIC, TMPFS_MAGIC (linux/magic.h).
        assert_eq!(of_many(0x6969), Some("NFS"));
        assert_eq!(of_many(i64::from(0xff53_4d42_u32.cast_signed()).cast_unsigned()), Some("CIFS"));
        assert_eq!((of_many(0xef53), of_many(0x0102_1994)), (None, None));
    }

    #[test]
    fn a_missing_folder_is_judged_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        refuse_of_many(&Utf8Path::from_path(folder.path()).unwrap().join("a/b")).unwrap();
        let error = refused(Utf8Path::new("/home/x"), "NFS");
        assert!(error.to_string().contains("/home/x is on NFS") && error.remedy().is_some(), "{error}");
    }
}
