//! Problems of a release: the first cause for each file.

use std::fmt;

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or another subject.
    pub about: String,
    /// The first cause.
    pub cause: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.cause)
    }
}

/// Collects problems.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem, unless the subject already has one.
    pub fn add(&mut self, about: &str, cause: impl Into<String>) {
        if !self.has(about) {
            // Untrusted text must stay on one line.
            let cause: String = cause.into();
            let cause = cause.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            self.0.push(Problem { about: about.to_owned(), cause });
        }
    }

    /// Whether the subject has a problem.
    pub fn has(&self, about: &str) -> bool {
        self.0.iter().any(|problem| problem.about == about)
    }

    /// The problems, in the order in which they were found.
    pub fn into_list(self) -> Vec<Problem> {
        self.0
    }
}
