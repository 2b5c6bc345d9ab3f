//! Errors of the preparation of the host.

use rave_process::interrupt::Interrupted;

/// The number of lines of a command's output in an error.
const TAIL: usize = 12;

/// Why the host does not have what a command needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is missing and was not, or could not be, installed.
    #[error("{}", headline(.missing.len()))]
    NotReady {
        /// A line for each item: its name, its purpose, and what was found.
        missing: Vec<String>,
        /// What to do next.
        remedy: String,
    },
    /// apt could only install what is missing by harming other packages.
    #[error("{what}; nothing was changed")]
    Conflict {
        /// The conflict.
        what: String,
        /// The packages, with their installed and new versions.
        facts: Vec<String>,
        /// What to do next.
        remedy: String,
    },
    /// A command of the installation failed.
    #[error("{what}")]
    Command {
        /// What failed.
        what: String,
        /// The command that failed.
        #[source]
        source: Box<rave_process::Error>,
        /// An earlier problem.
        before: Option<String>,
        /// What to do next; empty if nothing is known to help.
        remedy: &'static str,
    },
    /// The network settings of the environment cannot be passed on.
    #[error("invalid network settings: {detail}")]
    Network {
        /// The variable, its file, and the error.
        detail: String,
    },
    /// The user or the system asked this process to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    pub(crate) fn command(what: impl Into<String>, source: rave_process::Error) -> Self {
        Self::Command { what: what.into(), source: Box::new(source), before: None, remedy: "" }
    }

    /// Lines of facts: what is missing, or the command and its last lines.
    pub fn facts(&self) -> Vec<String> {
        match self {
            Self::NotReady { missing: facts, .. } | Self::Conflict { facts, .. } => facts.clone(),
            Self::Command { source, before, .. } => {
                let mut facts = vec![format!("command: {}", source.command())];
                let tail = source.tail();
                if tail.is_empty() {
                    facts.push(source.to_string());
                }
                facts.extend(tail[tail.len().saturating_sub(TAIL)..].iter().map(|line| format!("  {line}")));
                facts.extend(before.clone());
                facts
            }
            Self::Network { .. } | Self::Interrupted(_) => Vec::new(),
        }
    }

    /// What to do next; empty if nothing is known to help.
    pub fn remedy(&self) -> &str {
        match self {
            Self::NotReady { remedy, .. } | Self::Conflict { remedy, .. } => remedy,
            Self::Command { remedy, .. } => remedy,
            Self::Network { .. } => "correct the variable, or unset it, then try again",
            Self::Interrupted(_) => "",
        }
    }
}

fn headline(count: usize) -> String {
    if count == 1 {
        "a required dependency is missing".to_owned()
    } else {
        format!("{count} required dependencies are missing")
    }
}
