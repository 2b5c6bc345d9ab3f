//! Remarks about a file.

/// What is wrong, and what was not examined.
#[derive(Default)]
pub(super) struct Remarks {
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Remarks {
    pub(super) fn joined(mut self, other: Self) -> Self {
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
        self
    }
}
