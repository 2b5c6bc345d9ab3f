//! The repository of the checkout, and no other: an archive may have been unpacked inside somebody's repository.

use camino::Utf8Path;
use rave_process::Cmd;

/// `git` for the repository whose work tree begins at `root`: a clone, a shallow one, or a worktree.
pub fn git(root: &Utf8Path) -> Cmd {
    let ceiling = root.parent().unwrap_or(root);
    // Hooks and aliases run their programs with the repository's own folder in the environment (git(1), "The Git
    // Repository"); the search for one does not go above the checkout.
    let inherited = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"];
    let git = inherited.iter().fold(Cmd::new("git"), |git, name| git.env_remove(*name));
    git.args(["-C", root.as_str()]).env("GIT_CEILING_DIRECTORIES", ceiling.as_str())
}
