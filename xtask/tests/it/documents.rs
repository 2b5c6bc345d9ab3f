//! Everything that the documentation refers to exists.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use crate::checkout::{files, read};

/// Files of this repository, and their folders.
fn known() -> BTreeSet<Utf8PathBuf> {
    let files = files("");
    let folders = files.iter().flat_map(|file| file.ancestors().skip(1).map(Utf8Path::to_owned));
    folders.chain(files.iter().cloned()).filter(|path| path != "").collect()
}

/// The text outside of code blocks, by line.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        (!in_block && !fence).then_some((number + 1, line))
    })
}

/// Texts between backquotes in a line that may be paths in the repository: relative, no blank, no placeholder.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        !text.is_empty() && !text.starts_with('/') && text.bytes().all(plain) && !text.contains("NAME")
    };
    quoted.filter(is_path).map(|text| text.trim_end_matches('/'))
}

/// Whether `text` refers to something that should exist: below a top-level folder, or a source file by the end of its
/// path.
fn claims(text: &str, known: &BTreeSet<Utf8PathBuf>) -> bool {
    let mut parts = text.split('/');
    let below_top =
        parts.next().is_some_and(|top| known.contains(Utf8Path::new(top))) && parts.next().is_some();
    below_top || [".rs", ".nix"].iter().any(|end| text.len() > end.len() && text.ends_with(end))
}

#[test]
fn every_path_in_a_document_exists() {
    let known = known();
    let mut missing = Vec::new();
    let mut seen = 0;
    for document in files(".md") {
        let text = read(&document);
        for (number, line) in prose(&text) {
            for path in paths(line).filter(|path| claims(path, &known)) {
                seen += 1;
                if !known.iter().any(|file| file.ends_with(path)) {
                    missing.push(format!("{document}:{number}: {path}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "these are not in the repository:\n{}", missing.join("\n"));
    assert!(seen > 100, "only {seen} paths were found");
}

/// The anchor of a heading on GitHub: lower-case letters and digits, hyphens for blanks, nothing else.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().trim().replace(' ', "-").to_lowercase()
}

#[test]
fn every_link_in_a_document_resolves() {
    let known = known();
    let mut broken = Vec::new();
    let mut seen = 0;
    for document in files(".md") {
        let text = read(&document);
        for (number, line) in prose(&text) {
            for (_, rest) in line.match_indices("](").map(|(place, mark)| line.split_at(place + mark.len())) {
                let target = rest.split(')').next().unwrap_or_default();
                if target.contains("://") {
                    continue;
                }
                seen += 1;
                let (path, place) = target.split_once('#').unwrap_or((target, ""));
                let file = resolve(&document, path);
                let heading =
                    |line: &str| line.starts_with('#') && anchor(line.trim_start_matches('#')) == place;
                let exists = known.contains(&file)
                    && (place.is_empty() || prose(&read(&file)).any(|(_, line)| heading(line)));
                if !exists {
                    broken.push(format!("{document}:{number}: {target}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "these links are broken:\n{}", broken.join("\n"));
    assert!(seen > 30, "only {seen} links were found");
}

/// What a relative link in `document` points to.
fn resolve(document: &Utf8Path, link: &str) -> Utf8PathBuf {
    if link.is_empty() {
        return document.to_owned();
    }
    let mut path = document.parent().map(Utf8Path::to_owned).unwrap_or_default();
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path
}

/// Maximum number of lines in README.md.
const MAX_README: usize = 150;

#[test]
fn the_readme_is_short() {
    let lines = read("README.md".into()).lines().count();
    assert!(lines <= MAX_README, "README.md has {lines} lines; move the excess to a page below docs");
}

#[test]
fn every_page_has_a_purpose_and_is_in_the_table() {
    let table = read("docs/README.md".into());
    let rows: BTreeSet<&str> = table.lines().filter(|line| line.starts_with("| [")).collect();
    for page in files(".md").into_iter().filter(|page| page.starts_with("docs")) {
        let link = page.strip_prefix("docs").expect("below docs");
        let is_listed = rows.iter().any(|row| row.contains(&format!("]({link})")));
        assert!(is_listed || link == "README.md", "{page} is not in the tables of docs/README.md");
        let text = read(&page);
        let lines: Vec<&str> = text.lines().take(3).collect();
        let beginning = if link.starts_with("adr") { "Status: " } else { "This page " };
        assert!(lines[0].starts_with("# ") && lines[1].is_empty(), "{page} does not begin with a title");
        assert!(
            lines[2].starts_with(beginning),
            "{page}: the line below the title does not begin with {beginning:?}"
        );
    }
}

/// Whether a name between backquotes looks like a test's name: lower-case words joined by underscores.
fn is_test_name(name: &str) -> bool {
    name.matches('_').count() >= 2 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn every_test_named_in_a_document_exists() {
    let code: Vec<String> = files(".rs").iter().map(|file| read(file)).collect();
    let mut seen = 0;
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for (number, line) in prose(&read(document.into())) {
            for name in line.split('`').skip(1).step_by(2).filter(|name| is_test_name(name)) {
                seen += 1;
                let function = format!("fn {name}(");
                assert!(
                    code.iter().any(|text| text.contains(&function)),
                    "{document}:{number}: no test {name}"
                );
            }
        }
    }
    assert!(seen > 20, "only {seen} tests are named");
}

/// The variants of the enum `Event`, in serde's spelling.
fn kinds_of_events() -> BTreeSet<String> {
    let source = read("crates/audit/src/event.rs".into());
    let (_, variants) = source.split_once("pub enum Event {\n").expect("the enum");
    let lines = variants.lines().take_while(|line| *line != "}").filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    let kebab = |name: &str| {
        let word = |letter: char| match letter {
            'A'..='Z' => format!("-{}", letter.to_ascii_lowercase()),
            other => other.to_string(),
        };
        name.trim_end_matches([' ', '{', ','])
            .chars()
            .map(word)
            .collect::<String>()
            .trim_start_matches('-')
            .to_owned()
    };
    names.map(kebab).collect()
}

#[test]
fn every_recorded_event_is_in_the_table() {
    let text = read("docs/isolation.md".into());
    let (_, table) = text.split_once("| event | with |\n").expect("the table");
    let cells =
        table.lines().take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    let documented: BTreeSet<String> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    let kinds = kinds_of_events();
    assert!(kinds.contains("exec-ended"), "{kinds:?}");
    assert_eq!(documented, kinds);
}
