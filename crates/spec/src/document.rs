//! One file as a tree whose every key and value knows its place.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::problem::{Place, Problem};
use crate::{Refusal, Source};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) place: Place,
}

/// A value as written, before it is known what it should be.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Text(String),
    /// A whole number; `None` where it does not even fit 128 bits. With the text as written.
    Whole(Option<i128>, String),
    Truth(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Entry>),
    /// A float or a date, with its text: no key takes one.
    Other(&'static str, String),
    /// From the environment, which has no types: text, number, truth or comma-separated list, as the key wants it.
    Untyped(String),
}

/// A value under its key.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: BTreeMap<String, Entry>,
    /// Its first character.
    pub(crate) start: Place,
    /// What its syntax breaks.
    pub(crate) problems: Vec<Problem>,
    /// It was not understood whole, so a key that it lacks may only have been lost.
    pub(crate) broken: bool,
}

/// The message of the `toml` crate for a key that occurs twice: the one error after which the rest is sound.
const DUPLICATE_KEY: &str = "duplicate key";

impl Document {
    pub(crate) fn parse(source: &Source<'_>) -> Self {
        let lines = Lines { name: source.name, text: source.text };
        let (table, errors) = DeTable::parse_recoverable(source.text);
        let root = lines.table(table.into_inner());
        let broken = errors.iter().any(|error| error.message() != DUPLICATE_KEY);
        let problems = errors.iter().map(|error| lines.problem(error)).collect();
        Self { root: if broken { BTreeMap::new() } else { root }, start: lines.place(0), problems, broken }
    }
}

/// Turns byte offsets of a file into places.
struct Lines<'a> {
    name: &'a str,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            file: self.name.to_owned(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn problem(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(self.text.len()..self.text.len());
        let message = error.message();
        let what = if message == DUPLICATE_KEY {
            format!("duplicate key {:?}", self.slice(&span))
        } else {
            format!("not valid TOML: {message}")
        };
        Problem { place: self.place(span.start), key: String::new(), refusal: Refusal::new(what, "") }
    }

    fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn table(&self, table: DeTable<'_>) -> BTreeMap<String, Entry> {
        table
            .into_iter()
            .map(|(key, value)| {
                let key_place = self.place(key.span().start);
                let node = self.node(value.span(), value.into_inner());
                (key.into_inner().into_owned(), Entry { key_place, node })
            })
            .collect()
    }

    fn node(&self, span: Range<usize>, value: DeValue<'_>) -> Node {
        let place = self.place(span.start);
        let written = || self.slice(&span).to_owned();
        let data = match value {
            DeValue::String(text) => Data::Text(text.into_owned()),
            DeValue::Integer(number) => {
                Data::Whole(i128::from_str_radix(number.as_str(), number.radix()).ok(), written())
            }
            DeValue::Boolean(truth) => Data::Truth(truth),
            DeValue::Float(_) => Data::Other("a fraction", written()),
            DeValue::Datetime(_) => Data::Other("a date", written()),
            DeValue::Array(items) => {
                Data::List(items.into_iter().map(|item| self.node(item.span(), item.into_inner())).collect())
            }
            DeValue::Table(table) => Data::Table(self.table(table)),
        };
        Node { data, place }
    }
}
