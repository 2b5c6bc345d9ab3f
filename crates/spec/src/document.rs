//! One parsed file.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Place};
use crate::node::{Data, Entry, Node};
use crate::syntax::{self, Locator};
use crate::{ConfigFile, Role};

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: BTreeMap<String, Entry>,
    /// The place of its first character.
    pub(crate) start: Place,
    /// Its syntax errors.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether it was only partly understood, so that a missing key may just have been lost.
    pub(crate) broken: bool,
}

impl Document {
    pub(crate) fn parse(source: &ConfigFile<'_>) -> Self {
        let locator = Locator { name: source.name, text: source.text };
        let (table, errors) = DeTable::parse_recoverable(source.text);
        let mut diagnostics = syntax::diagnostics(&locator, &errors);
        let broken = !errors.iter().all(syntax::is_duplicate_key);
        let root = if broken {
            BTreeMap::new()
        } else {
            syntax::tree(&locator, table.into_inner(), &mut diagnostics)
        };
        let start = locator.place(0);
        let root = match source.role {
            Role::Settings => root,
            Role::Profile(name) => within("profiles", within(name, root, &start), &start),
        };
        Self { root, start, diagnostics, broken }
    }
}

/// A table with one entry, which is a table itself.
fn within(name: &str, table: BTreeMap<String, Entry>, place: &Place) -> BTreeMap<String, Entry> {
    let node = Node { data: Data::Table(table), place: place.clone() };
    BTreeMap::from([(name.to_owned(), Entry { key_place: place.clone(), node })])
}
