//! Why text in a format is refused.

/// Text that is not valid in its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what}: {detail}")]
pub struct ParseError {
    /// What was expected.
    pub what: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, detail: detail.into() }
    }
}
