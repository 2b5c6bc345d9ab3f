//! Phrases that no text may contain: `fixtures/prose.txt` lists them with better ones.

mod text;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::checkout::{files, read};
use text::{Passage, passages};

/// The list of phrases.
const LIST: &str = "xtask/tests/fixtures/prose.txt";

/// A phrase that is always wrong.
#[derive(Debug, Default)]
struct Phrase {
    /// The word that must not precede it.
    not_after: Option<String>,
    words: Vec<String>,
    better: String,
}

/// The phrases of a list: `PHRASE => BETTER`, one per line.
fn phrases(list: &str) -> Vec<Phrase> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let phrase = |line: &str| {
        let (bad, better) = line.split_once(" => ").unwrap_or_else(|| panic!("{line:?} has no ` => `"));
        let (before, words): (Vec<&str>, Vec<&str>) =
            bad.split_whitespace().partition(|word| word.starts_with('!'));
        Phrase {
            not_after: before.first().map(|word| bare(word)),
            words: words.into_iter().map(bare).collect(),
            better: better.to_owned(),
        }
    };
    lines.map(phrase).collect()
}

/// A word in lower case without the quotes, brackets and marks around it.
fn bare(word: &str) -> String {
    let is_inside = |letter: char| letter.is_alphanumeric() || "*-+/@$%&=<>".contains(letter);
    let trimmed =
        if word == "*" { word } else { word.trim_matches(|letter| !is_inside(letter) || letter == '*') };
    trimmed.to_lowercase()
}

/// The occurrences of phrases in a passage: each hit's line, its words, and the phrase.
fn hits<'a>(passage: &Passage, phrases: &'a [Phrase]) -> Vec<(usize, String, &'a Phrase)> {
    let bare: Vec<String> = passage.words.iter().map(|(_, word)| bare(word)).collect();
    let mut hits = Vec::new();
    // Indexed by their first word, otherwise an unoptimised build is slow.
    let mut by_first: BTreeMap<&str, Vec<&Phrase>> = BTreeMap::new();
    for phrase in phrases {
        by_first.entry(&phrase.words[0]).or_default().push(phrase);
    }
    for start in 0..bare.len() {
        for phrase in by_first.get(bare[start].as_str()).into_iter().flatten().copied() {
            let Some(place) = passage.words.get(start..start + phrase.words.len()) else { continue };
            let same =
                phrase.words.iter().zip(&bare[start..]).all(|(wanted, word)| wanted == "*" || wanted == word);
            let before = start.checked_sub(1).map(|before| &bare[before]);
            let is_exempt = phrase.not_after.is_some() && phrase.not_after.as_ref() == before;
            let inner = &place[..place.len() - 1];
            if same
                && !is_exempt
                && !inner.iter().any(|(_, word)| word.ends_with(['.', ';', ':', '?', '!', '|']))
            {
                let found = place.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>().join(" ");
                hits.push((place[0].0, found, phrase));
            }
        }
    }
    hits
}

/// The checked files: documents, configuration, and code, of which strings and comments are read.
fn is_read(file: &Utf8PathBuf) -> bool {
    let kind = file.extension().unwrap_or_default();
    let is_data = file.as_str().contains("/fixtures/") || file.as_str().contains("/tests/bad");
    let is_text = ["md", "rs", "nix", "toml"].contains(&kind) || file.starts_with("ci");
    is_text && !is_data
}

#[test]
fn no_listed_phrase_is_in_a_document_a_message_or_a_comment() {
    let phrases = phrases(&read(LIST.into()));
    assert!(phrases.len() >= 40, "only {} phrases", phrases.len());
    let mut found = Vec::new();
    for file in files("").iter().filter(|file| is_read(file)) {
        for passage in passages(file, &read(file)) {
            for (line, words, phrase) in hits(&passage, &phrases) {
                found.push(format!("{file}:{line}: {words:?}; better: {}", phrase.better));
            }
        }
    }
    assert!(found.is_empty(), "{} phrases to rewrite:\n{}", found.len(), found.join("\n"));
}

#[test]
fn each_phrase_is_listed_once_with_a_better_one() {
    let phrases = phrases(&read(LIST.into()));
    for (index, phrase) in phrases.iter().enumerate() {
        let bad = phrase.words.join(" ");
        assert!(phrase.words.len() > 1, "{bad:?} is a word, not a phrase");
        assert!(phrases[..index].iter().all(|other| other.words != phrase.words), "{bad:?} is listed twice");
        assert!(!phrase.better.trim().is_empty(), "{bad:?} has nothing better");
        let better = Passage { words: vec![(1, phrase.better.clone())] };
        assert!(hits(&better.split(), &phrases).is_empty(), "{:?} has a wrong phrase itself", phrase.better);
    }
}

/// The lines where `file` with this text has a phrase of the list.
fn lines_of(file: &str, text: &str) -> Vec<usize> {
    let phrases = phrases("!what is left out of => is not in\nto * it anew => to redo it");
    let passages = passages(file.into(), text);
    let hits = passages.iter().flat_map(|passage| hits(passage, &phrases));
    let mut lines: Vec<usize> = hits.map(|(line, _, _)| line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_phrase_is_found_across_lines_and_marks() {
    let text = "# Title\n\nThis *is left\nout of* the image.\n\nWhat is left out of it? It is left. Out of mind.\n\n```sh\nis left out of\n```\n";
    assert_eq!(lines_of("a.md", text), [3, 9]);
}

#[test]
fn only_strings_and_comments_of_code_are_searched() {
    let text = "\
//! It is left out of a build.
fn is_left_out_of() -> String {
    // It has to do
    // it anew.
    format!(\"{name} is \\
             left out of {image}\")
}
const RAW: &str = r#\"
Is left out of it.\"#;
/// To do
/// it anew.
fn make() {}
";
    assert_eq!(lines_of("a.rs", text), [1, 3, 5, 9, 10]);
}
