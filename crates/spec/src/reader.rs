//! Reads keys through all layers at once: every layer is checked, the highest one wins.

use std::collections::BTreeMap;

use crate::document::{Data, Document, Entry, Node};
use crate::origin::Origins;
use crate::problem::{Place, Problem};
use crate::refusal::one_of;
use crate::{Refusal, nearest, value};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What reading gathers besides the values.
pub(crate) struct Reader {
    variables: BTreeMap<&'static str, Node>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) origins: Origins,
    /// Every file was understood whole, so a key that is not there is missing.
    complete: bool,
}

/// A table, as each layer has it.
pub(crate) struct Section<'d> {
    /// Dotted; empty for the root.
    path: String,
    /// Lowest layer first; only layers that have the table.
    tables: Vec<&'d BTreeMap<String, Entry>>,
    /// Where a key that is missing should have stood.
    place: Place,
    /// The keys that were asked for.
    known: Vec<String>,
}

impl Reader {
    /// Starts with what is wrong before any key is read.
    pub(crate) fn new(
        complete: bool,
        variables: BTreeMap<&'static str, Node>,
        problems: Vec<Problem>,
    ) -> Self {
        Self { variables, problems, origins: Origins::default(), complete }
    }

    pub(crate) fn refuse(&mut self, place: &Place, key: impl Into<String>, refusal: Refusal) {
        self.problems.push(Problem { place: place.clone(), key: key.into(), refusal });
    }

    /// A key is missing; silent where a layer was not understood whole, since the key may stand there.
    pub(crate) fn missing(&mut self, section: &Section<'_>, key: &str, expected: &str) {
        if self.complete {
            let what = format!("missing key {key:?}{}", section.within());
            self.refuse(&section.place, "", Refusal::new(what, expected));
        }
    }
}

impl<'d> Section<'d> {
    /// The whole of all files, lowest layer first.
    pub(crate) fn root(documents: &'d [Document]) -> Self {
        let start = Place::File { file: "rave.toml".to_owned(), line: 1, column: 1 };
        Section {
            path: String::new(),
            tables: documents.iter().map(|document| &document.root).collect(),
            place: documents.first().map_or(start, |document| document.start.clone()),
            known: Vec::new(),
        }
    }

    /// The dotted name of a key of this table.
    pub(crate) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn within(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) }
    }

    /// Every name in this table, in any layer.
    pub(crate) fn names(&self) -> std::collections::BTreeSet<&'d str> {
        self.tables.iter().flat_map(|table| table.keys().map(String::as_str)).collect()
    }

    /// Where a name of this table is first written.
    pub(crate) fn place_of(&self, name: &str) -> &Place {
        self.tables.iter().find_map(|table| table.get(name)).map_or(&self.place, |entry| &entry.key_place)
    }

    fn entries(&mut self, name: &str) -> Vec<&'d Entry> {
        self.known.push(name.to_owned());
        self.tables.iter().filter_map(|table| table.get(name)).collect()
    }

    /// The table of that name; empty where no layer has it.
    pub(crate) fn section(&mut self, reader: &mut Reader, name: &str) -> Section<'d> {
        let path = self.key(name);
        let entries = self.entries(name);
        let mut tables = Vec::new();
        for entry in &entries {
            match &entry.node.data {
                Data::Table(table) => tables.push(table),
                other => reader.refuse(&entry.node.place, path.clone(), other.mismatch("a table")),
            }
        }
        let place = entries.first().map_or(&self.place, |entry| &entry.key_place).clone();
        Section { path, tables, place, known: Vec::new() }
    }

    /// The value of that name in the highest layer, checked in every layer; `Ok(None)` where it is not set.
    pub(crate) fn optional<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        read: impl Fn(&mut Reader, &Node, &str) -> Result<T, Refusal>,
    ) -> Option<Option<At<T>>> {
        let key = self.key(name);
        let variable = reader.variables.get(key.as_str()).cloned();
        let nodes = self.entries(name).into_iter().map(|entry| &entry.node).cloned().chain(variable);
        let mut winner = Some(None);
        for node in nodes {
            let before = reader.problems.len();
            match read(reader, &node, &key) {
                Ok(value) if reader.problems.len() == before => {
                    reader.origins.set(key.clone(), node.place.origin());
                    winner = Some(Some(At { value, place: node.place }));
                }
                Ok(_) => winner = None,
                Err(refusal) => {
                    reader.refuse(&node.place, key.clone(), refusal);
                    winner = None;
                }
            }
        }
        winner
    }

    /// The same for a value that some layer must have; `None` where that was reported as a problem.
    pub(crate) fn required<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        expected: &str,
        read: impl Fn(&mut Reader, &Node, &str) -> Result<T, Refusal>,
    ) -> Option<At<T>> {
        let found = self.optional(reader, name, read)?;
        if found.is_none() {
            reader.missing(self, name, expected);
        }
        found
    }

    /// A list; an item that occurs twice is refused. Absent means empty.
    pub(crate) fn list<T: Clone + PartialEq + std::fmt::Display>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        expected: &str,
        read: impl Fn(&Node) -> Result<T, Refusal>,
    ) -> Option<Vec<At<T>>> {
        let found = self.optional(reader, name, |reader, node, key| {
            let mut items: Vec<At<T>> = Vec::new();
            for (index, item) in value::list(node, expected)?.iter().enumerate() {
                let key = format!("{key}[{index}]");
                match read(item) {
                    Ok(value) => match items.iter().find(|earlier| earlier.value == value) {
                        Some(first) => {
                            let what = format!("\"{value}\" occurs twice; first at {}", first.place);
                            reader.refuse(&item.place, key, Refusal::new(what, ""));
                        }
                        None => items.push(At { value, place: item.place.clone() }),
                    },
                    Err(refusal) => reader.refuse(&item.place, key, refusal),
                }
            }
            Ok(items)
        })?;
        Some(found.map(|list| list.value).unwrap_or_default())
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader) {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        for table in &self.tables {
            for (name, entry) in table.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
                let refusal = Refusal {
                    what: format!("unknown key {name:?}{}", self.within()),
                    expected: one_of(&known),
                    nearest: nearest(name, known.iter().copied()).map(str::to_owned),
                };
                reader.refuse(&entry.key_place, "", refusal);
            }
        }
    }
}
