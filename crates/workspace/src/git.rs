//! Runs git without settings that could run another program.

use camino::Utf8Path;
use rave_process::Cmd;

/// Variables that would select another repository (git(1), "The Git Repository").
const INHERITED: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
];

/// Overrides settings with which a repository's own configuration could run a program.
const OFF: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=keep",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// git in the user's repository that contains `folder`, with the user's own settings, such as the list of ignored
/// files.
pub(crate) fn of_user(folder: &Utf8Path) -> Cmd {
    let git = INHERITED.iter().fold(Cmd::new("git"), |git, name| git.env_remove(*name));
    let git = git.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    OFF.iter().fold(git.args(["-C", folder.as_str()]), |git, setting| git.args(["-c", setting]))
}

/// git with no settings but those of the repository that contains `folder`.
pub(crate) fn isolated(folder: &Utf8Path) -> Cmd {
    let git = of_user(folder).args(["-c", "safe.directory=*", "-c", "core.attributesFile=/dev/null"]);
    let git = git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    git.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_NO_REPLACE_OBJECTS", "1")
}
