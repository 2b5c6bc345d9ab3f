//! One file as a tree whose every key and value knows its place.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::problem::{Place, Problem};
use crate::syntax::{self, Locator};
use crate::{Role, Source};

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

impl Document {
    pub(crate) fn parse(source: &Source<'_>) -> Self {
        let locator = Locator { name: source.name, text: source.text };
        let (table, errors) = DeTable::parse_recoverable(source.text);
        let mut problems = syntax::problems(&locator, &errors);
        let broken = !errors.iter().all(syntax::is_duplicate_key);
        let root =
            if broken { BTreeMap::new() } else { syntax::tree(&locator, table.into_inner(), &mut problems) };
        let start = locator.place(0);
        let root = match source.role {
            Role::Settings => root,
            Role::Profile(name) => within("profiles", within(name, root, &start), &start),
        };
        Self { root, start, problems, broken }
    }
}

/// A table with one entry, which is a table.
fn within(name: &str, table: BTreeMap<String, Entry>, place: &Place) -> BTreeMap<String, Entry> {
    let node = Node { data: Data::Table(table), place: place.clone() };
    BTreeMap::from([(name.to_owned(), Entry { key_place: place.clone(), node })])
}
