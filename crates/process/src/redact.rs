//! Masks secrets in what is shown.

/// The replacement for a secret.
const MASKED: &str = "***";

/// The secrets of one command, longest first, so that a secret that contains another is masked completely.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<String>);

impl Redactor {
    /// Adds a secret; an empty one would match everywhere and is ignored.
    pub(crate) fn add(&mut self, secret: String) {
        if secret.is_empty() {
            return;
        }
        self.0.push(secret);
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// `text` with every secret replaced by `***`.
    pub(crate) fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASKED))
    }

    /// Length in bytes of the longest secret, or 0 without secrets.
    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }

    /// The last position at or before `at` where `bytes` can be split without splitting a secret.
    pub(crate) fn cut_before(&self, bytes: &[u8], at: usize) -> usize {
        let mut cut = at;
        for secret in &self.0 {
            let from = cut.saturating_sub(secret.len() - 1);
            let inside = (from..cut).find(|&start| bytes[start..].starts_with(secret.as_bytes()));
            cut = inside.unwrap_or(cut);
        }
        cut
    }
}
