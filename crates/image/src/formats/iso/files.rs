//! Files of the ISO's tree.

use std::fmt::Write as _;
use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

use camino::Utf8Path;

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// Digests of files below `tree`, in the format of sha256sum(1).
pub(super) fn digests(tree: &Utf8Path, files: &[&str]) -> Result<String, Error> {
    let mut text = String::new();
    for file in files {
        let path = tree.join(file);
        let digest = Digest::of_file(&path).at("read", &path)?;
        writeln!(text, "{digest}  {file}").expect("writing to a string");
    }
    Ok(text)
}

/// Sets the timestamps of `path` and everything below it, seconds since 1970.
pub(super) fn set_times(path: &Utf8Path, epoch: u64) -> Result<(), Error> {
    if path.is_dir() {
        for entry in path.read_dir_utf8().at("list", path)? {
            set_times(entry.at("list", path)?.path(), epoch)?;
        }
    }
    let time = UNIX_EPOCH + Duration::from_secs(epoch);
    File::open(path).and_then(|file| file.set_modified(time)).at("set the time of", path)
}

/// The target of a symbolic link, relative to the root directory, from the output of debugfs(8).
pub(super) fn link_target(stat: &str) -> Option<&str> {
    let line = stat.lines().find_map(|line| line.strip_prefix("Fast link dest: \""))?;
    let target = line.strip_suffix('"')?.trim_start_matches('/');
    // It becomes part of a debugfs request, whose words are separated by blanks.
    (!target.is_empty() && !target.contains(char::is_whitespace)).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_accepted_by_the_real_program() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(tree.join("a"), "content").unwrap();
        std::fs::write(tree.join("SUMS"), digests(tree, &["a"]).unwrap()).unwrap();
        let check = || rave_process::Cmd::new("sha256sum").args(["-c", "SUMS"]).current_dir(tree).output();
        check().unwrap();
        std::fs::write(tree.join("a"), "Content").unwrap();
        assert!(check().is_err());
    }

    #[test]
    fn links_are_parsed_from_debugfs() {
        let printed = "Inode: 17   Type: symlink\nFast link dest: \"boot/vmlinuz-6.12\"\n";
        assert_eq!(link_target(printed), Some("boot/vmlinuz-6.12"));
        assert_eq!(link_target("Fast link dest: \"a b\""), None);
        assert_eq!(link_target("/vmlinuz: File not found by ext2_lookup"), None);
    }
}
