//! Problems of a release: the first cause for each file.

use std::fmt;

/// Maximum length of a cause, characters: untrusted text can have megabytes.
const LONGEST: usize = 400;

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
            let mut letters = cause.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
            let mut cause: String = letters.by_ref().take(LONGEST).collect();
            if letters.next().is_some() {
                cause.push_str(" ...");
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_line_of_bounded_length() {
        let mut problems = Problems::default();
        problems.add("a", format!("it says\n{}", "x".repeat(1 << 20)));
        problems.add("a", "a second cause");
        problems.add("b", "y".repeat(LONGEST));
        let [a, b]: [Problem; 2] = problems.into_list().try_into().unwrap();
        assert!(a.cause.starts_with("it says xxx") && a.cause.ends_with("x ..."), "{a}");
        assert_eq!((a.cause.len(), b.cause.len()), (LONGEST + 4, LONGEST));
    }
}
