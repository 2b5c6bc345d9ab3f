//! The human-readable text in a file, as passages of words with their lines.

use camino::Utf8Path;
use proc_macro2::{TokenStream, TokenTree};

/// Words that belong together, such as a paragraph, a message or a comment, each with its line.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    pub(crate) words: Vec<(usize, String)>,
}

impl Passage {
    /// The same, where each entry is one word.
    pub(crate) fn split(self) -> Self {
        let words = self.words.into_iter();
        let split = words.flat_map(|(line, text)| {
            text.split_whitespace().map(|word| (line, word.to_owned())).collect::<Vec<_>>()
        });
        Self { words: split.collect() }
    }

    fn add(&mut self, line: usize, text: &str) {
        self.words.extend(text.split_whitespace().map(|word| (line, word.to_owned())));
    }
}

/// The passages of a file: all of a document, strings and comments of Rust code.
pub(crate) fn passages(file: &Utf8Path, text: &str) -> Vec<Passage> {
    if file.extension() == Some("rs") {
        let tokens = text.parse().unwrap_or_else(|error| panic!("{file} cannot be parsed: {error}"));
        let mut passages = comments(text);
        strings(tokens, &mut passages);
        passages
    } else {
        paragraphs(text)
    }
}

/// Paragraphs, separated by empty lines; each table row and list item is a paragraph.
fn paragraphs(text: &str) -> Vec<Passage> {
    let mut passages = vec![Passage::default()];
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.is_empty() || start.starts_with(['|', '#', '-', '`']) {
            passages.push(Passage::default());
        }
        let comment = start.trim_start_matches('#');
        passages.last_mut().expect("there is one").add(index + 1, comment);
    }
    passages
}

/// Runs of comment lines, including doc comments.
fn comments(text: &str) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut was_comment = false;
    for (index, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix("//");
        if let Some(comment) = comment {
            if !was_comment {
                passages.push(Passage::default());
            }
            let words = comment.trim_start_matches(['/', '!']);
            passages.last_mut().expect("there is one").add(index + 1, words);
        }
        was_comment = comment.is_some();
    }
    passages
}

/// Each string literal. Doc comments are also literals here; they are handled by [`comments`].
fn strings(tokens: TokenStream, passages: &mut Vec<Passage>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_doc =
                    group.stream().into_iter().next().is_some_and(|first| first.to_string() == "doc");
                if !is_doc {
                    strings(group.stream(), passages);
                }
            }
            TokenTree::Literal(literal) => {
                let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { continue };
                let line = literal.span().start().line;
                let is_raw = literal.to_string().starts_with('r');
                let mut passage = Passage::default();
                for (offset, part) in text.value().lines().enumerate() {
                    // Only in a raw string do lines of the value correspond to lines of the file.
                    passage.add(if is_raw { line + offset } else { line }, part);
                }
                passages.push(passage);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}
