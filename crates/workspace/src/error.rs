//! Errors of a workspace.

use std::io;

use camino::Utf8PathBuf;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was pushed yet.
    #[error("the sandbox has no workspace")]
    NoWorkspace,
    /// The workspace belongs to another folder.
    #[error("the workspace of the sandbox is {known}, not {asked}")]
    OtherFolder {
        /// The folder that was pushed.
        known: Utf8PathBuf,
        /// The folder that was named.
        asked: Utf8PathBuf,
    },
    /// The folder on the host cannot be a workspace.
    #[error("{path} cannot be copied: {why}")]
    BadSource {
        /// The folder.
        path: Utf8PathBuf,
        /// Why.
        why: String,
    },
    /// A path or a pattern that was named does not exist.
    #[error("{what}")]
    NotFound {
        /// The message.
        what: String,
    },
    /// The guest's end failed.
    #[error("the guest: {why}")]
    Guest {
        /// Its message.
        why: String,
    },
    /// The guest sent invalid data.
    #[error("what the guest sent is refused: {why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// A record of the workspace is damaged, or has another version.
    #[error("{path} is not a record of a workspace: {why}")]
    BadRecord {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A list of rules has an invalid line.
    #[error("{path}, line {line}: {why}")]
    BadRule {
        /// The file.
        path: String,
        /// The number of the line.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// git failed.
    #[error("git failed: {0}")]
    Git(#[from] rave_process::Error),
    /// A branch of this name already exists.
    #[error("the branch {name} already exists")]
    BranchExists {
        /// The name.
        name: String,
    },
    /// The copy in the guest already has a history.
    #[error("the copy in the sandbox already has a history")]
    HasHistory,
    /// The folder has no history to copy.
    #[error("{folder} is not in a git repository, so it has no history")]
    NoRepository {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// The folder is only a part of its repository.
    #[error("{folder} is only a part of its repository, whose history covers all of it")]
    PartOfRepository {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// Another command has locked the workspace for longer than this one waits.
    #[error("another command is pushing, pulling or applying")]
    Busy,
    /// Ctrl-C, SIGTERM or SIGHUP.
    #[error(transparent)]
    Interrupted(#[from] rave_process::interrupt::Interrupted),
    /// A file could not be read or written.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "a text, a path, a borrow of one")]
    pub(crate) fn io(action: &'static str, path: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_string();
        move |source| Self::Io { action, path, source }
    }

    /// What to do next, if something is known to help.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NoWorkspace => "copy a folder into it: cargo xtask push NAME DIR".to_owned(),
            Self::OtherFolder { known, .. } => {
                format!("push {known}, or create another sandbox for the other folder")
            }
            Self::Refused { .. } => {
                "nothing of it was used; copy single files with `cargo xtask cp NAME:PATH DEST`".to_owned()
            }
            Self::BadRecord { .. } => {
                "use the version of RAVE that made it, or push again with --force".to_owned()
            }
            Self::HasHistory => "omit --history, or create another sandbox".to_owned(),
            Self::NoRepository { .. } => "omit --history".to_owned(),
            Self::PartOfRepository { .. } => {
                "name the folder of the whole repository, or omit --history".to_owned()
            }
            Self::Busy => "run the same command again once that one has ended".to_owned(),
            Self::BranchExists { .. } => "name another branch".to_owned(),
            Self::Git(_) => {
                "git 2.20 or newer must be installed, and the repository must be yours".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make space on that disk, then run the same command again".to_owned()
            }
            _ => return None,
        })
    }
}
