//! Findings on the host, and how to fix them.

use crate::requirement::{Part, Requirement};

/// One requirement as it is on this host.
#[derive(Debug)]
pub struct Finding {
    /// Its name.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What is required.
    pub needed: String,
    /// Its purpose.
    pub why: &'static str,
    /// The parts that need it.
    pub parts: &'static [Part],
    /// Whether it is sufficient.
    pub state: State,
    /// How to fix it.
    pub fix: Fix,
}

/// [`Finding::found`] of something missing.
pub(crate) const NOT_FOUND: &str = "not found";

/// Whether a requirement is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is met.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// It is missing, but only tests use it.
    Optional,
    /// It is missing or does not work.
    Missing,
}

/// How to fix a finding.
#[derive(Debug)]
pub enum Fix {
    /// It needs no fix.
    None,
    /// Install this requirement's package.
    Package(&'static Requirement),
    /// Install a newer version of this requirement's package.
    Upgrade(&'static Requirement),
    /// Run a command as root.
    RootCommand(Vec<String>),
    /// Something that only the user can decide.
    Advice(String),
}
