//! Why a text of a format is refused.

/// A text of a format that is not one.
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
