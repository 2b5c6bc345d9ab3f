//! Builds an SPDX 2.3 expression, annex D.

use std::collections::BTreeSet;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expression {
    /// A part that needs no parentheses: a licence, possibly with an exception.
    Atom(String),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

impl Expression {
    pub(super) fn atom(text: impl Into<String>) -> Self {
        Self::Atom(text.into())
    }

    /// All of these, each once and sorted.
    pub(super) fn all(parts: Vec<Self>) -> Self {
        let flat =
            parts.into_iter().flat_map(|part| if let Self::And(inner) = part { inner } else { vec![part] });
        Self::of(flat.collect(), Self::And)
    }

    /// One of these.
    pub(super) fn any(parts: Vec<Self>) -> Self {
        let flat =
            parts.into_iter().flat_map(|part| if let Self::Or(inner) = part { inner } else { vec![part] });
        Self::of(flat.collect(), Self::Or)
    }

    fn of(parts: BTreeSet<Self>, kind: fn(Vec<Self>) -> Self) -> Self {
        let mut parts: Vec<Self> = parts.into_iter().collect();
        if parts.len() == 1 { parts.remove(0) } else { kind(parts) }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::Atom(text) => return f.write_str(text),
            Self::And(parts) => (parts, " AND "),
            Self::Or(parts) => (parts, " OR "),
        };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            match part {
                Self::Atom(text) => f.write_str(text)?,
                part => write!(f, "({part})")?,
            }
        }
        Ok(())
    }
}
