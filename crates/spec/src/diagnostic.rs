//! Errors in the files and variables, with their places.

use std::fmt;

use crate::{InvalidValue, Origin};

/// A place in the input of [`load`](crate::load).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file.
    File {
        /// The name of the file as passed.
        file: String,
        /// The line, starting at 1.
        line: usize,
        /// The column in characters, starting at 1.
        column: usize,
    },
    /// In the environment.
    Variable(
        /// The name of the variable.
        String,
    ),
}

impl Place {
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::File { file, line, .. } => Origin::File { name: file.clone(), line: *line },
            Self::Variable(name) => Origin::Env { variable: name.clone() },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{error}", self.prefix())]
pub struct Diagnostic {
    /// Its place.
    pub place: Place,
    /// The dotted key of the wrong value; empty if the message names it.
    pub key: String,
    /// What was found, what was expected, and the nearest valid name.
    pub error: InvalidValue,
}

impl Diagnostic {
    fn prefix(&self) -> String {
        if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) }
    }
}

/// All errors, in the order of the files and then the variables; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<Diagnostic>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
