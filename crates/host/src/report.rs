//! What was found on the host, and what would mend it.

use crate::requirement::{Part, Requirement};

/// One thing, as it is on this host.
#[derive(Debug)]
pub struct Finding {
    /// What it is called.
    pub name: String,
    /// What is there.
    pub found: String,
    /// What would do.
    pub needed: String,
    /// What it is for.
    pub why: &'static str,
    /// What it is needed for.
    pub parts: &'static [Part],
    /// Whether it will do.
    pub state: State,
    /// What would mend it.
    pub fix: Fix,
}

/// [`Finding::found`] of a thing that is not there.
pub(crate) const NOT_FOUND: &str = "not found";

/// Whether a thing will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It will do.
    Ok,
    /// Works, but worse than it could.
    Warning,
    /// Not there, and only tests would use it.
    Optional,
    /// Does not work.
    Missing,
}

/// What would mend it.
#[derive(Debug)]
pub enum Fix {
    /// Nothing needs a repair.
    None,
    /// This requirement's package.
    Package(&'static Requirement),
    /// A newer version of this requirement's package than the one that is installed.
    Upgrade(&'static Requirement),
    /// A command that root runs.
    RootCommand(Vec<String>),
    /// Something that only the user can decide.
    Advice(String),
}
