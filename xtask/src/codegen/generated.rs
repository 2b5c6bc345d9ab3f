//! Compares generated files with those in the checkout.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;

/// How many lines of a difference are shown.
const SHOWN: usize = 20;

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generated {
    /// Its path, relative to the root of the checkout.
    pub(crate) path: Utf8PathBuf,
    /// Its full text.
    pub(crate) text: String,
}

/// A generated file whose text in the checkout is out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outdated {
    /// The file as it must be.
    pub(crate) file: Generated,
    /// The difference: `-` before a line of the checkout, `+` before a generated one.
    pub(crate) difference: Vec<String>,
}

/// The `files` that are missing below `root` or differ.
pub(crate) fn outdated(files: Vec<Generated>, root: &Utf8Path) -> io::Result<Vec<Outdated>> {
    let mut outdated = Vec::new();
    for file in files {
        let found = match fs::read_to_string(root.join(&file.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            found => found?,
        };
        if found != file.text {
            outdated.push(Outdated { difference: difference(&found, &file.text), file });
        }
    }
    Ok(outdated)
}

/// Writes `file` below `root` atomically.
pub(crate) fn write(file: &Generated, root: &Utf8Path) -> io::Result<()> {
    let path = root.join(&file.path);
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    Replace::new(&path).write(&file.text)
}

/// The lines between the common start and the common end of two texts.
fn difference(found: &str, expected: &str) -> Vec<String> {
    let (found, expected): (Vec<_>, Vec<_>) = (found.lines().collect(), expected.lines().collect());
    let equal = |(a, b): &(&&str, &&str)| a == b;
    let start = found.iter().zip(&expected).take_while(equal).count();
    let (found, expected) = (&found[start..], &expected[start..]);
    let end = found.iter().rev().zip(expected.iter().rev()).take_while(equal).count();
    let removed = &found[..found.len() - end];
    let added = &expected[..expected.len() - end];
    let mut lines = vec![format!("@@ -{},{} +{},{} @@", start + 1, removed.len(), start + 1, added.len())];
    lines.extend(shown('-', removed).chain(shown('+', added)));
    lines
}

fn shown<'l>(sign: char, lines: &'l [&str]) -> impl Iterator<Item = String> + 'l {
    let rest = lines.len().saturating_sub(SHOWN);
    let more = (rest > 0).then(|| format!("{sign} ... {rest} more lines"));
    lines.iter().take(SHOWN).map(move |line| format!("{sign}{line}")).chain(more)
}

/// The message of `--check` and of the test about outdated files.
pub(crate) fn report(outdated: &[Outdated]) -> Vec<String> {
    let lines = |outdated: &Outdated| {
        let path = &outdated.file.path;
        let header = [format!("--- {path}"), format!("+++ {path} (generated)")];
        header.into_iter().chain(outdated.difference.clone()).collect::<Vec<_>>()
    };
    outdated.iter().flat_map(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(text: &str) -> Vec<Generated> {
        vec![Generated { path: "a/b.txt".into(), text: text.to_owned() }]
    }

    #[test]
    fn unchanged_files_are_up_to_date_and_changed_lines_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let missing = outdated(generated("one\ntwo\nthree\n"), root).unwrap();
        assert_eq!(missing[0].difference, ["@@ -1,0 +1,3 @@", "+one", "+two", "+three"]);
        write(&missing[0].file, root).unwrap();
        assert_eq!(outdated(generated("one\ntwo\nthree\n"), root).unwrap(), []);
        let changed = outdated(generated("one\n2\nthree\n"), root).unwrap();
        assert_eq!(
            report(&changed),
            ["--- a/b.txt", "+++ a/b.txt (generated)", "@@ -2,1 +2,1 @@", "-two", "+2"]
        );
        write(&changed[0].file, root).unwrap();
        assert_eq!(fs::read_to_string(root.join("a/b.txt")).unwrap(), "one\n2\nthree\n");
    }

    #[test]
    fn a_long_diff_is_truncated() {
        let lines: Vec<String> = (0..100).map(|number| format!("{number}\n")).collect();
        let difference = difference("", &lines.concat());
        assert_eq!(difference.len(), 1 + SHOWN + 1);
        assert_eq!(difference.last().unwrap(), "+ ... 80 more lines");
    }
}
