//! Why a single value is invalid, independent of its place.

/// A value that is not what its type allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", remedy(&self.expected, self.nearest.as_deref()))]
pub struct InvalidValue {
    /// What was found and what is wrong with it: `port 70000 is out of range`.
    pub what: String,
    /// What is valid: `a whole number from 1 to 65535`. May be empty if `what` is sufficient.
    pub expected: String,
    /// The valid name that was most likely meant.
    pub nearest: Option<String>,
}

impl InvalidValue {
    pub(crate) fn new(what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), nearest: None }
    }

    /// `word` is not one of the fixed `names`.
    pub(crate) fn unknown<'a>(thing: &str, word: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        Self {
            what: format!("unknown {thing} {word:?}"),
            expected: one_of(&names),
            nearest: crate::nearest(word, names.iter().copied()).map(str::to_owned),
        }
    }
}

/// The end of a message: the likely name if there is one, because that is sufficient, otherwise what is valid.
pub(crate) fn remedy(expected: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name:?}?"),
        None if expected.is_empty() => String::new(),
        None => format!("; expected {expected}"),
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}
