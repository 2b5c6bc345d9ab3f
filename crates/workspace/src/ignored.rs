//! Finds the paths that git ignores: in a user's folder with its own repository, and for a guest's new files with the
//! pushed rules, in a temporary repository that has nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use crate::blobs::Blobs;
use crate::byte_path::BytePath;
use crate::entry::Entry;
use crate::error::Error;
use crate::git;

/// The largest list of rules that is read, in bytes.
const LIMIT: u64 = 1 << 20;
/// A path that is always ignored, because git reports an error if no path is.
const SENTINEL: &str = ".rave-always-ignored";

/// The paths that git ignores in a folder of a repository, relative to the folder: files, and folders of which it
/// ignores everything.
pub(crate) fn in_folder(folder: &Utf8Path) -> Result<BTreeSet<Vec<u8>>, Error> {
    let list = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    let file = tempfile::tempfile().map_err(Error::io("make", "a temporary file"))?;
    let to = file.try_clone().map_err(Error::io("open", "a temporary file"))?;
    git::of_user(folder).args(list).stdout_file(to).run(&mut |_| {})?;
    let printed = read_back(file).map_err(Error::io("read", "a temporary file"))?;
    let paths = printed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| path.strip_suffix(b"/").unwrap_or(path).to_vec()).collect())
}

fn read_back(mut file: fs::File) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _};
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The rules outside of the tree: the user's own, and the repository's.
pub(crate) fn excludes(folder: &Utf8Path) -> String {
    let asked = |arguments: &[&str]| {
        git::of_user(folder).args(arguments.iter().copied()).output().ok().map(|output| output.text())
    };
    let own = asked(&["config", "--type=path", "core.excludesFile"]).filter(|path| !path.is_empty());
    let own = own.map(Utf8PathBuf::from).or_else(|| {
        let home = std::env::var("HOME").ok().map(|home| format!("{home}/.config"));
        let folder = std::env::var("XDG_CONFIG_HOME").ok().filter(|folder| !folder.is_empty()).or(home)?;
        Some(Utf8Path::new(&folder).join("git/ignore"))
    });
    let of_repository = asked(&["rev-parse", "--git-path", "info/exclude"]).map(|path| folder.join(path));
    let read = |path: Utf8PathBuf| fs::read_to_string(path).ok().filter(|text| text.len() as u64 <= LIMIT);
    [own, of_repository].into_iter().flatten().filter_map(read).collect::<Vec<_>>().join("\n")
}

/// The `paths` that git ignores by these rules; their values say whether they are folders. The guest's paths are only
/// used as data.
pub(crate) fn by_rules<'a>(
    paths: &BTreeMap<BytePath, bool>,
    excludes: &str,
    base: impl Iterator<Item = (&'a BytePath, &'a Entry)>,
    blobs: &Blobs,
) -> Result<BTreeSet<BytePath>, Error> {
    if paths.is_empty() {
        return Ok(BTreeSet::new());
    }
    let guard = tempfile::tempdir().map_err(Error::io("make", "a temporary folder"))?;
    let folder = Utf8Path::from_path(guard.path()).unwrap_or(Utf8Path::new("/nonexistent"));
    git::isolated(folder).args(["init", "--quiet", "--template="]).run(&mut |_| {})?;
    let failed = || Error::io("write", folder);
    for (path, entry) in base {
        let (above, name) = rave_guest::tree::path::split(path.bytes());
        let (b".gitignore", Some(content)) = (name, entry.content()) else { continue };
        let Ok(text) = blobs.read(content, LIMIT) else { continue };
        let above = folder.as_std_path().join(std::ffi::OsStr::new(&*os(above)));
        fs::create_dir_all(&above).map_err(failed())?;
        fs::write(above.join(".gitignore"), text).map_err(failed())?;
    }
    fs::create_dir_all(folder.join(".git/info")).map_err(failed())?;
    fs::write(folder.join(".git/info/exclude"), format!("{excludes}\n/{SENTINEL}\n")).map_err(failed())?;
    let mut asked = format!("{SENTINEL}\0").into_bytes();
    for (path, is_folder) in paths {
        // Without it, a name with a leading colon would be a pathspec.
        asked.extend_from_slice(b"./");
        asked.extend_from_slice(path.bytes());
        asked.extend_from_slice(if *is_folder { b"/\0" } else { b"\0" });
    }
    let file = tempfile::tempfile().map_err(failed())?;
    let to = file.try_clone().map_err(failed())?;
    let check = ["check-ignore", "-z", "--stdin", "--no-index"];
    git::isolated(folder).args(check).stdin_bytes(asked).stdout_file(to).run(&mut |_| {})?;
    let printed = read_back(file).map_err(failed())?;
    let printed = printed.split(|byte| *byte == 0).filter_map(|path| path.strip_prefix(b"./"));
    let ignored = printed.map(|path| BytePath(path.strip_suffix(b"/").unwrap_or(path).to_vec()));
    Ok(ignored.filter(|path| paths.contains_key(path)).collect())
}

fn os(bytes: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes.to_vec())
}
