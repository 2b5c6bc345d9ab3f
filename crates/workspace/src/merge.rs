//! Merges three texts with `git merge-file` on temporary files; conflicts are marked as git does.

use std::fs;
use std::time::Duration;

use camino::Utf8Path;

use crate::error::Error;
use crate::git;

/// Names of the sides in a conflict.
const LABELS: [&str; 3] = ["the host", "as it was pushed", "the sandbox"];
/// The timeout of git.
const LIMIT: Duration = Duration::from_secs(60);

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) text: Vec<u8>,
    pub(crate) has_conflicts: bool,
}

/// Merges both sides' changes to `base`.
pub(crate) fn merge(ours: &[u8], base: &[u8], theirs: &[u8]) -> Result<Merged, Error> {
    let guard = tempfile::tempdir().map_err(Error::io("make", "a temporary folder"))?;
    let folder = Utf8Path::from_path(guard.path()).unwrap_or(Utf8Path::new("/nonexistent"));
    for (name, text) in [("ours", ours), ("base", base), ("theirs", theirs)] {
        fs::write(folder.join(name), text).map_err(Error::io("write", folder.join(name)))?;
    }
    let git = git::isolated(folder).args(["merge-file", "--quiet"]);
    let git = LABELS.iter().fold(git, |git, label| git.args(["-L", *label]));
    let ended = git.args(["ours", "base", "theirs"]).timeout(LIMIT).run(&mut |_| {});
    let has_conflicts = match ended {
        Ok(_) => false,
        // The number of conflicts, at most 127; 255 is an error (git-merge-file(1)).
        Err(rave_process::Error::Failed { status, .. }) if (1..=127).contains(&status.shell_code()) => true,
        Err(error) => return Err(error.into()),
    };
    let text = fs::read(folder.join("ours")).map_err(Error::io("read", folder.join("ours")))?;
    Ok(Merged { text, has_conflicts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_both_sides_are_kept_and_conflicts_marked() {
        let base = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let clean = merge(b"one\n2\n3\n4\n5\n6\n7\n8\n9\n", base, b"1\n2\n3\n4\n5\n6\n7\n8\nnine\n").unwrap();
        assert_eq!(
            clean,
            Merged { text: b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n".to_vec(), has_conflicts: false }
        );
        let conflict = merge(b"a\n", b"b\n", b"c\n").unwrap();
        let text = "<<<<<<< the host\na\n=======\nc\n>>>>>>> the sandbox\n";
        assert_eq!(conflict, Merged { text: text.into(), has_conflicts: true });
    }
}
