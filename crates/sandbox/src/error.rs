//! Errors of sandboxes.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::limits::OverLimit;
use crate::name::SandboxName;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No sandbox has this name.
    #[error("there is no sandbox {name}")]
    Unknown {
        /// The name.
        name: SandboxName,
    },
    /// It has no such snapshot.
    #[error("the sandbox {name} has no snapshot {label}")]
    UnknownSnapshot {
        /// The sandbox.
        name: SandboxName,
        /// The label.
        label: String,
    },
    /// The operation requires a running sandbox.
    #[error("the sandbox {name} is not running")]
    NotRunning {
        /// The name.
        name: SandboxName,
    },
    /// The operation requires a stopped sandbox.
    #[error("the sandbox {name} is running")]
    Running {
        /// The name.
        name: SandboxName,
    },
    /// This version does not understand its record.
    #[error("{path} is not a record of a sandbox: {why}")]
    BadRecord {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The folder of the sandboxes belongs to another user.
    #[error("{path} belongs to another user (uid {owner})")]
    OtherUsers {
        /// The folder.
        path: Utf8PathBuf,
        /// The user.
        owner: u32,
    },
    /// The folder of the sandboxes is on a file system that several hosts may share.
    #[error("{path} is on {kind}, which other hosts can share: they would not see what runs here")]
    OfManyHosts {
        /// The folder.
        path: Utf8PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// The supervisor did not start.
    #[error("the sandbox {name} did not start: {why}")]
    NotStarted {
        /// The name.
        name: SandboxName,
        /// The supervisor's error.
        why: String,
        /// The remedy, if the supervisor knew one.
        remedy: Option<String>,
    },
    /// The supervisor refused.
    #[error("the sandbox {name}: {why}")]
    Refused {
        /// The name.
        name: SandboxName,
        /// Its reason.
        why: String,
    },
    /// The supervisor does not answer.
    #[error("the supervisor of {name} does not answer: {source}")]
    Supervisor {
        /// The name.
        name: SandboxName,
        /// The system's error.
        source: io::Error,
    },
    /// All sandboxes together use up their limit, or the host has too little left.
    #[error("{0}")]
    OverLimit(OverLimit),
    /// A file of the sandbox could not be read or written.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The output of a program could not be passed on.
    #[error("could not write the program's output: {source}")]
    Output {
        /// The system's error.
        source: io::Error,
    },
    /// The record could not be read or written.
    #[error("the record of the sandbox: {0}")]
    Audit(#[from] rave_audit::Error),
    /// The program that starts the supervisor could not be run.
    #[error(transparent)]
    Process(#[from] rave_process::Error),
    /// The machine.
    #[error(transparent)]
    Vm(#[from] rave_vm::Error),
    /// Ctrl-C, SIGTERM or SIGHUP.
    #[error(transparent)]
    Interrupted(#[from] rave_process::interrupt::Interrupted),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Utf8Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// What to do next, if a remedy is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => {
                Some(format!("`cargo xtask up {name}` creates it; `cargo xtask ps --all` lists all"))
            }
            Self::UnknownSnapshot { name, .. } => {
                Some(format!("`cargo xtask snapshot {name} --list` lists its snapshots"))
            }
            Self::NotRunning { name } => Some(format!("start it: cargo xtask start {name}")),
            Self::Running { name } => {
                Some(format!("stop it first: cargo xtask stop {name}, or use --force to kill it"))
            }
            Self::BadRecord { .. } => Some(
                "use the version of RAVE that created it, or remove it: cargo xtask rm --force NAME"
                    .to_owned(),
            ),
            Self::OtherUsers { .. } => {
                Some("run this as that user, or set RAVE_STATE to a folder of your own".to_owned())
            }
            Self::OfManyHosts { .. } => {
                Some("set RAVE_STATE to a folder on a local disk, such as /srv/rave-USER".to_owned())
            }
            Self::OverLimit(over) => Some(over.remedy()),
            Self::NotStarted { remedy, .. } => remedy.clone(),
            Self::Supervisor { name, .. } => {
                Some(format!("try again; its messages: cargo xtask logs {name} --supervisor"))
            }
            Self::Vm(error) => error.remedy(),
            _ => None,
        }
    }

    /// Whether another attempt may succeed: something was slow, or a connection was lost.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Vm(error) => error.is_transient(),
            Self::Io { source, .. } => rave_vm::is_transient(source.kind()),
            _ => false,
        }
    }

    /// Whether the host's disk is full.
    pub(crate) fn is_of_full_disk(&self) -> bool {
        match self {
            Self::Vm(error) => error.is_of_full_disk(),
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// Whether the user or the system asked this process to stop.
    pub fn is_interrupt(&self) -> bool {
        match self {
            Self::Interrupted(_) => true,
            Self::Vm(error) => error.is_interrupt(),
            _ => false,
        }
    }
}
