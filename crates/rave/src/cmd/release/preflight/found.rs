//! What a check of the preflight says.

/// What was found, or what does not hold and what to do.
pub(super) type Found = Result<Fact, (String, String)>;

/// What was found.
pub(super) enum Fact {
    Holds(String),
    /// It could not be looked at here, and why.
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
