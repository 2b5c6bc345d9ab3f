//! The result of a preflight check.

/// What was found, or the problem and its remedy.
pub(super) type Found = Result<Fact, (String, String)>;

/// What was found.
pub(super) enum Fact {
    Holds(String),
    /// The check could not be made here, and why.
    NotTried(String),
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Holds(text)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Holds(text.to_owned())
    }
}

pub(super) fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Found {
    Err((what.into(), remedy.into()))
}
