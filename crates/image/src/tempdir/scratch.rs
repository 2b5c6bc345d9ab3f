//! Where large temporary trees go. mmdebstrap unpacks a whole system below `TMPDIR`, as a different user in a user
//! namespace: the folder must be large, and all its parents accessible to others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rustix::fs::StatVfsMountFlags;

use crate::error::{Error, IoContext as _};
use crate::space::{available_memory, free_bytes};

/// A temporary folder with an unpredictable name, recorded in the cache so that a later build removes it if this one is
/// killed.
#[derive(Debug)]
pub struct ScratchDir {
    path: Utf8PathBuf,
    note: Utf8PathBuf,
}

impl ScratchDir {
    /// Creates a folder in the first location that has `needed` bytes free, is accessible to others and allows
    /// executing programs: `TMPDIR`, memory if there is plenty (it is the fastest), `/var/tmp` and the cache.
    pub fn create(cache_dir: &Utf8Path, needed: u64) -> Result<Self, Error> {
        let notes = notes(cache_dir)?;
        let mut largest: Option<(u64, Utf8PathBuf)> = None;
        let fits = |folder: &&Utf8PathBuf| open_to_others(folder) && runs_programs(folder);
        for folder in candidates(cache_dir).iter().filter(fits) {
            let free = usable_bytes(folder).at("read the free space of", folder)?;
            if free >= needed {
                return Self::below(folder, &notes);
            }
            if largest.as_ref().is_none_or(|(most, _)| free > *most) {
                largest = Some((free, folder.clone()));
            }
        }
        let Some((free, path)) = largest else {
            return Err(Error::Input {
                what: "temporary folder".into(),
                detail: format!(
                    "neither TMPDIR, /var/tmp nor {cache_dir} is open to others and lets programs run; set TMPDIR to a folder \
                     with mode 0755 on a file system that is not mounted with noexec or nodev"
                ),
            });
        };
        Err(Error::NoSpace { path, needed_mib: needed >> 20, free_mib: free >> 20 })
    }

    fn below(folder: &Utf8Path, notes: &Utf8Path) -> Result<Self, Error> {
        let made =
            tempfile::Builder::new().prefix("rave-").tempdir_in(folder).at("create a folder in", folder)?;
        let path = Utf8PathBuf::from_path_buf(made.keep()).map_err(|path| Error::Input {
            what: "temporary folder".into(),
            detail: format!("{} is not UTF-8", path.display()),
        })?;
        let note = notes.join(path.file_name().unwrap_or("rave"));
        std::os::unix::fs::symlink(&path, &note).at("note", &note)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).at("open to others", &path)?;
        Ok(Self { path, note })
    }

    /// The folder.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        remove(&self.path);
        let _ = fs::remove_file(&self.note);
    }
}

fn notes(cache_dir: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    let notes = cache_dir.join("scratch");
    fs::create_dir_all(&notes).at("create", &notes)?;
    Ok(notes)
}

/// Removes the folders of killed builds. The caller holds the cache's lock and has not created any itself, so none is
/// in use.
pub fn sweep(cache_dir: &Utf8Path) -> Result<(), Error> {
    for note in notes(cache_dir)?.read_dir_utf8().into_iter().flatten().flatten() {
        if let Ok(path) = note.path().read_link_utf8() {
            remove(&path);
        }
        let _ = fs::remove_file(note.path());
    }
    Ok(())
}

/// Files of a killed `--mode=unshare` belong to subordinate users: only a namespace that maps them can remove them
/// (mmdebstrap(1), `--unshare-helper`).
fn remove(path: &Utf8Path) {
    if fs::remove_dir_all(path).is_err() && path.exists() {
        let remove = Cmd::new("mmdebstrap").args(["--unshare-helper", "rm", "-rf", path.as_str()]);
        // Also after Ctrl-C, when cleaning up matters most.
        let _ = remove.survives_interrupt().output();
        let _ = fs::remove_dir_all(path);
    }
}

fn candidates(cache_dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut folders = Vec::new();
    folders.extend(std::env::var("TMPDIR").ok().filter(|folder| !folder.is_empty()).map(Utf8PathBuf::from));
    folders
        .extend(["/tmp", "/dev/shm"].map(Utf8PathBuf::from).into_iter().filter(|folder| is_memory(folder)));
    folders.push("/var/tmp".into());
    folders.push(cache_dir.to_owned());
    folders
}

/// Whether programs can be executed from the folder and, for root, whose mmdebstrap creates device nodes there, whether
/// those work.
fn runs_programs(folder: &Utf8Path) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    rustix::fs::statvfs(folder.as_std_path()).is_ok_and(|stat| allows(stat.f_flag, is_root))
}

fn allows(options: StatVfsMountFlags, is_root: bool) -> bool {
    let unwanted = if is_root {
        StatVfsMountFlags::NOEXEC | StatVfsMountFlags::NODEV
    } else {
        StatVfsMountFlags::NOEXEC
    };
    !options.intersects(unwanted)
}

fn is_memory(folder: &Utf8Path) -> bool {
    /// `TMPFS_MAGIC` of statfs(2).
    const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::statfs(folder.as_std_path()).is_ok_and(|stat| stat.f_type == TMPFS_MAGIC)
}

/// Free bytes of a folder; for a folder in memory at most half of the available memory.
fn usable_bytes(folder: &Utf8Path) -> std::io::Result<u64> {
    let free = free_bytes(folder)?;
    let memory = if is_memory(folder) { available_memory() } else { None };
    Ok(memory.map_or(free, |memory| free.min(memory / 2)))
}

fn open_to_others(folder: &Utf8Path) -> bool {
    folder.is_absolute()
        && folder.ancestors().all(|part| {
            fs::metadata(part).is_ok_and(|meta| meta.is_dir() && meta.permissions().mode() & 0o001 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_builds_folder_is_swept_by_the_next_build() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Utf8Path::from_path(dir.path()).unwrap();
        let first = ScratchDir::create(cache, 1).unwrap();
        let left = first.path().to_owned();
        fs::write(left.join("file"), "x").unwrap();
        std::mem::forget(first);
        sweep(cache).unwrap();
        assert!(!left.exists());
        let second = ScratchDir::create(cache, 1).unwrap();
        let third = ScratchDir::create(cache, 1).unwrap();
        assert!(second.path().exists(), "one in use stays");
        drop(third);
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
        assert_eq!(cache.join("scratch").read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn too_little_space_everywhere_is_reported_with_both_figures() {
        let dir = tempfile::tempdir().unwrap();
        let error = ScratchDir::create(Utf8Path::from_path(dir.path()).unwrap(), u64::MAX).unwrap_err();
        assert!(
            matches!(error, Error::NoSpace { needed_mib, .. } if needed_mib == u64::MAX >> 20),
            "{error}"
        );
    }

    #[test]
    fn a_folder_without_access_for_others_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!open_to_others(path));
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
        assert!(open_to_others(path));
    }

    #[test]
    fn noexec_file_systems_are_not_used_and_by_root_no_nodev_ones() {
        assert!(runs_programs("/".into()));
        assert!(!runs_programs("/no/such/folder".into()));
        let (noexec, nodev) = (StatVfsMountFlags::NOEXEC, StatVfsMountFlags::NODEV);
        assert!(!allows(noexec, false) && !allows(noexec | StatVfsMountFlags::NOSUID, true));
        assert!(allows(nodev, false) && !allows(nodev, true));
    }
}
