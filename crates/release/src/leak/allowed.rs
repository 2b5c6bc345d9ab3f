//! Files of packages that look like secrets but are not: a reviewed list by rule and path, each with a reason.

use serde::{Deserialize, Serialize};

use super::finding::Rule;

/// The reviewed list.
const LIST: &str = include_str!("allowed.txt");

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedEntry {
    /// The rule that it would break.
    pub rule: Rule,
    /// The file's path without a leading slash; `*` matches any text.
    pub path: String,
    /// Why it is not a leak.
    pub reason: String,
}

/// The list, with a record of which lines were needed.
#[derive(Debug, Clone)]
pub struct Allowed {
    entries: Vec<(AllowedEntry, bool)>,
}

impl Allowed {
    /// The list of this version.
    #[expect(clippy::missing_panics_doc, reason = "a test reads the list")]
    pub fn reviewed() -> Self {
        Self::parse(LIST).expect("a test reads it")
    }

    /// Parses a list: one `RULE PATH: REASON` per line, and comments that start with `#`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entries = lines.map(|line| Ok((entry(line)?, false))).collect::<Result<_, String>>()?;
        Ok(Self { entries })
    }

    /// Whether a finding is allowed in a file; marks the line as needed.
    pub(super) fn allows(&mut self, rule: Rule, path: &str) -> bool {
        let mut found = false;
        for (entry, used) in &mut self.entries {
            if entry.rule == rule && fits(&entry.path, path) {
                (found, *used) = (true, true);
            }
        }
        found
    }

    /// How many lines were needed.
    pub(super) fn used(&self) -> usize {
        self.entries.iter().filter(|(_, used)| *used).count()
    }

    /// The lines that were not needed.
    pub fn stale(&self) -> impl Iterator<Item = &AllowedEntry> {
        self.entries.iter().filter(|(_, used)| !used).map(|(entry, _)| entry)
    }
}

fn entry(line: &str) -> Result<AllowedEntry, String> {
    let wrong = |why: &str| format!("{line:?} does not allow anything: {why}");
    let (what, reason) = line.split_once(": ").ok_or_else(|| wrong("it has no reason"))?;
    let (name, path) = what.split_once(' ').ok_or_else(|| wrong("it has no path"))?;
    let rule = Rule::ALL.into_iter().find(|rule| rule.name() == name);
    let rule = rule.ok_or_else(|| wrong("its rule is not known"))?;
    if !rule.may_be_allowed() {
        return Err(wrong("no package knows who builds the image"));
    }
    if path.is_empty() || path.starts_with('/') || path.starts_with('*') {
        return Err(wrong("its path must begin with a folder of the guest, without a slash"));
    }
    Ok(AllowedEntry { rule, path: path.to_owned(), reason: reason.trim().to_owned() })
}

/// Matches a pattern in which `*` stands for any text.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| path.strip_prefix(start)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reviewed_list_is_valid_and_every_line_has_a_reason() {
        let list = Allowed::reviewed();
        assert!(list.entries.iter().all(|(entry, _)| entry.reason.len() > 10));
        for wrong in [
            "token usr/share/x",
            "token : because it is so",
            "secret usr/share/x: because",
            "token *: everything",
            "token /usr: absolute",
            "builder-user usr/share/x: somebody's name",
        ] {
            assert!(Allowed::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unused_line_is_reported() {
        let text = "# why\ntoken usr/share/doc/*/a*.txt: an example\nprivate-key usr/lib/b: another one\n";
        let mut list = Allowed::parse(text).unwrap();
        assert!(list.allows(Rule::Token, "usr/share/doc/x/y/a1.txt"));
        assert!(!list.allows(Rule::PrivateKey, "usr/share/doc/x/a1.txt"));
        assert!(!list.allows(Rule::Token, "usr/share/doc/x/a1.txt.gz"));
        assert!(!list.allows(Rule::PrivateKey, "usr/lib/b/c"));
        assert_eq!(list.stale().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["usr/lib/b"]);
        assert_eq!(list.used(), 1);
    }
}
