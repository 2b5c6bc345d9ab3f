//! Why the host is not ready.

use rave_process::interrupt::Interrupted;

/// Lines of a command's output that an error shows.
const TAIL: usize = 12;

/// Why the host does not have what a command needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is missing that was not, or could not be, installed.
    #[error("{}", headline(.missing.len()))]
    NotReady {
        /// A line for each thing: its name, what it is for, and what was found.
        missing: Vec<String>,
        /// What to do next.
        remedy: String,
    },
    /// apt can install what is missing only at the cost of something else.
    #[error("{what}; nothing was changed")]
    Conflict {
        /// What stands in the way.
        what: String,
        /// The packages, with the versions that are installed and those that would be.
        facts: Vec<String>,
        /// What to do next.
        remedy: String,
    },
    /// A command of the installation failed.
    #[error("{what}")]
    Command {
        /// What could not be done.
        what: String,
        /// The command that failed.
        #[source]
        source: Box<rave_process::Error>,
        /// What was seen before it.
        before: Option<String>,
        /// What to do next; empty where nothing is known to help.
        remedy: &'static str,
    },
    /// What the environment says of the network cannot be passed on.
    #[error("the network's settings: {detail}")]
    Network {
        /// The variable, its file, and what is wrong with that.
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

    /// What to do next; empty where nothing is known to help.
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
