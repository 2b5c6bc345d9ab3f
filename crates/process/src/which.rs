//! Finds programs.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use camino::Utf8PathBuf;

/// Where Debian installs mke2fs, sfdisk and mkfs.vfat; missing from the login PATH of ordinary users.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The path of the program `name`: the first executable file of that name on PATH, then in `/usr/local/sbin`,
/// `/usr/sbin` and `/sbin`. A name with a slash is used as a path. Also `None` if the found path is not UTF-8.
pub fn find_program(name: &str) -> Option<Utf8PathBuf> {
    let found = resolve(OsStr::new(name), &search_path(env::var_os("PATH").as_deref()))?;
    Utf8PathBuf::from_path_buf(found).ok()
}

/// `path` with any missing system folders appended.
pub(crate) fn search_path(path: Option<&OsStr>) -> OsString {
    let mut folders: Vec<PathBuf> = path.map(|path| env::split_paths(path).collect()).unwrap_or_default();
    for folder in SYSTEM_FOLDERS {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    // Only folders that contain a colon cannot be joined, and these were split at colons.
    env::join_paths(folders).unwrap_or_default()
}

/// The absolute path of `program`, looked up in `path`.
pub(crate) fn resolve(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if program.as_encoded_bytes().contains(&b'/') {
        vec![PathBuf::from(program)]
    } else {
        env::split_paths(path).map(|folder| folder.join(program)).collect()
    };
    let found = candidates.into_iter().find(|candidate| is_executable(candidate))?;
    // The command may run in a different folder.
    std::path::absolute(found).ok()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_folders_are_searched_too() {
        let path = search_path(Some(OsStr::new("/usr/bin:/usr/sbin")));
        assert_eq!(path, "/usr/bin:/usr/sbin:/usr/local/sbin:/sbin");
        assert_eq!(search_path(None), "/usr/local/sbin:/usr/sbin:/sbin");
    }

    #[test]
    fn folders_and_plain_files_are_not_programs() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        fs::write(folder.path().join("plain"), "").unwrap();
        assert_eq!(resolve(OsStr::new("folder"), folder.path().as_os_str()), None);
        assert_eq!(resolve(OsStr::new("plain"), folder.path().as_os_str()), None);
        assert_eq!(find_program("sh").map(|path| path.is_absolute()), Some(true));
        assert_eq!(find_program("no-such-program-here"), None);
    }
}
