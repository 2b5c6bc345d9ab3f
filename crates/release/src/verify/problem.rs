//! What is wrong with a release: one line for each file, the first cause.

use std::fmt;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or what else it is about.
    pub about: String,
    /// The first cause.
    pub cause: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.cause)
    }
}

/// Collects them.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one, unless something is already known to be wrong there.
    pub fn add(&mut self, about: &str, cause: impl Into<String>) {
        if !self.has(about) {
            // Text of strangers stays on its line.
            let cause: String = cause.into();
            let cause = cause.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            self.0.push(Problem { about: about.to_owned(), cause });
        }
    }

    /// Whether something is wrong there.
    pub fn has(&self, about: &str) -> bool {
        self.0.iter().any(|problem| problem.about == about)
    }

    /// In the order in which they were found.
    pub fn into_list(self) -> Vec<Problem> {
        self.0
    }
}
