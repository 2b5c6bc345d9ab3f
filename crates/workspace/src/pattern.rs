//! Path patterns in lists of rules.

use crate::error::Error;

/// A pattern: names with `*` that match consecutive names of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    names: Vec<Vec<u8>>,
    /// It starts with a slash: it only matches from the root.
    is_anchored: bool,
}

impl Pattern {
    /// Parses a pattern.
    pub(crate) fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let names = lower.trim_matches('/').split('/').map(|name| name.as_bytes().to_vec()).collect();
        Self { names, is_anchored: text.starts_with('/') }
    }

    /// Whether it matches a path, or a folder above it.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.matches_names(&names(&path.to_ascii_lowercase()))
    }

    /// The same for the names of a path in lower case.
    pub(crate) fn matches_names(&self, names: &[&[u8]]) -> bool {
        let mut windows = names.windows(self.names.len());
        let is_it = |window: &[&[u8]]| {
            window.iter().zip(&self.names).all(|(name, pattern)| name_matches(pattern, name))
        };
        if self.is_anchored { windows.next().is_some_and(is_it) } else { windows.any(is_it) }
    }

    /// Whether it may match something below a folder, with names that start with the folder's own.
    pub(crate) fn may_match_below(&self, folder: &[u8]) -> bool {
        let lower = folder.to_ascii_lowercase();
        let names = lower.split(|byte| *byte == b'/');
        let mut pairs = names.clone().zip(&self.names);
        names.count() < self.names.len() && pairs.all(|(name, pattern)| name_matches(pattern, name))
    }
}

/// The names of a path.
pub(crate) fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').collect()
}

/// Whether a name matches; `*` stands for anything. The time is linear for each `*`.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, in_name));
            at += 1;
        } else if pattern.get(at) == Some(&name[in_name]) {
            at += 1;
            in_name += 1;
        } else if let Some((star_at, star_name)) = star {
            at = star_at + 1;
            in_name = star_name + 1;
            star = Some((star_at, in_name));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The lines of a list without comments: the number, the first word, and the rest.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(number, line)| {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (number, first, rest.trim())
    })
}

/// An error in a list.
pub(crate) fn fault(path: &str, line: usize, why: impl Into<String>) -> Error {
    Error::BadRule { path: path.to_owned(), line, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_match_anywhere_and_folders_match_recursively() {
        for (pattern, path, matches) in [
            (".env", "a/.env", true),
            (".env", "a/.ENV", true),
            (".env", "a/x.env", false),
            ("*.env", "a/x.env", true),
            (".vscode", "a/.vscode/tasks.json", true),
            (".github/workflows", ".github/workflows/ci.yml", true),
            (".github/workflows", "sub/.github/workflows/a/b", true),
            (".github/workflows", ".github/x/workflows", false),
            ("/Makefile", "sub/Makefile", false),
            ("/Makefile", "makefile", true),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxbxx", false),
            ("*", "anything", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(path.as_bytes()), matches, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_matches_any_name_in_bounded_time(pattern in "[*a]{0,40}", name in "a{0,200}") {
            let _ = Pattern::new(&pattern).matches(name.as_bytes());
        }
    }
}
