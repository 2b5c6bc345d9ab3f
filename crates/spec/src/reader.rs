//! Reads keys through all layers at once: every layer is checked, the highest one wins.

use std::collections::{BTreeMap, BTreeSet};

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

/// What became of a key.
pub(crate) enum Found<T> {
    /// The value of the highest layer that has the key.
    Value(At<T>),
    /// No layer has it.
    Absent,
    /// The highest layer that has it has it wrong, which was reported.
    Refused,
}

impl<T> Found<T> {
    /// The value or, where the key is absent, `default`; `None` where it was refused.
    pub(crate) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Value(at) => Some(at.value),
            Self::Absent => Some(default),
            Self::Refused => None,
        }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Value(At { value, place }) => Found::Value(At { value: change(value), place }),
            Self::Absent => Found::Absent,
            Self::Refused => Found::Refused,
        }
    }
}

/// What reading gathers besides the values.
pub(crate) struct Reader {
    variables: BTreeMap<&'static str, Node>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) origins: Origins,
}

impl Reader {
    /// Starts with what is wrong before any key is read.
    pub(crate) fn new(variables: BTreeMap<&'static str, Node>, problems: Vec<Problem>) -> Self {
        Self { variables, problems, origins: Origins::default() }
    }

    pub(crate) fn refuse(&mut self, place: &Place, key: impl Into<String>, refusal: Refusal) {
        self.problems.push(Problem { place: place.clone(), key: key.into(), refusal });
    }
}

/// A table, as each layer has it.
pub(crate) struct Section<'d> {
    /// Dotted; empty for the root.
    path: String,
    /// Lowest layer first; only layers that have the table.
    tables: Vec<&'d BTreeMap<String, Entry>>,
    /// Where a key that is missing should have stood.
    place: Place,
    /// What is not there may have been lost with something that was reported, so that it is not reported again.
    lossy: bool,
    /// The keys that were asked for.
    known: Vec<String>,
    /// Of those, the ones that must be there and are not, with what each should have been.
    missing: Vec<(String, Refusal)>,
}

impl<'d> Section<'d> {
    /// The whole of all files, lowest layer first.
    pub(crate) fn root(documents: &'d [Document]) -> Self {
        let nowhere = Place::File { file: "rave.toml".to_owned(), line: 1, column: 1 };
        Section {
            path: String::new(),
            tables: documents.iter().map(|document| &document.root).collect(),
            place: documents.first().map_or(nowhere, |document| document.start.clone()),
            lossy: documents.iter().any(|document| document.broken),
            known: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The dotted name of a key of this table.
    pub(crate) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn within(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) }
    }

    /// Every name in this table, in any layer, with the place where it is first written.
    pub(crate) fn names(&self) -> BTreeMap<&'d str, Place> {
        let mut names = BTreeMap::new();
        for (name, entry) in self.tables.iter().flat_map(|table| table.iter()) {
            names.entry(name.as_str()).or_insert_with(|| entry.key_place.clone());
        }
        names
    }

    fn entries(&mut self, name: &str) -> Vec<&'d Entry> {
        self.known.push(name.to_owned());
        self.tables.iter().filter_map(|table| table.get(name)).collect()
    }

    /// The table of that name; empty where no layer has it.
    pub(crate) fn section(&mut self, reader: &mut Reader, name: &str) -> Section<'d> {
        let path = self.key(name);
        let entries = self.entries(name);
        let mut lossy = self.lossy;
        let mut tables = Vec::new();
        for entry in &entries {
            if let Data::Table(table) = &entry.node.data {
                tables.push(table);
            } else {
                reader.refuse(&entry.node.place, path.clone(), entry.node.data.mismatch("a table"));
                lossy = true;
            }
        }
        let place = entries.first().map_or(&self.place, |entry| &entry.key_place).clone();
        Section { path, tables, place, lossy, known: Vec::new(), missing: Vec::new() }
    }

    /// The table of that name, which some layer must have.
    pub(crate) fn required_section(&mut self, reader: &mut Reader, name: &str) -> Section<'d> {
        let mut section = self.section(reader, name);
        if section.tables.is_empty() && !section.lossy {
            let what = format!("missing table [{}]", section.path);
            self.lacks(name, Refusal::new(what, ""));
            section.lossy = true;
        }
        section
    }

    /// The value of that name in the highest layer that has it; `read` checks it in every layer.
    pub(crate) fn optional<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        read: impl Fn(&mut Reader, &Node, &str) -> Result<T, Refusal>,
    ) -> Found<T> {
        let key = self.key(name);
        let variable = reader.variables.get(key.as_str()).cloned();
        let nodes = self.entries(name).into_iter().map(|entry| entry.node.clone()).chain(variable);
        let mut found = Found::Absent;
        for node in nodes {
            let before = reader.problems.len();
            found = match read(reader, &node, &key) {
                Ok(value) if reader.problems.len() == before => {
                    reader.origins.set(key.clone(), node.place.origin());
                    Found::Value(At { value, place: node.place })
                }
                Ok(_) => Found::Refused,
                Err(refusal) => {
                    reader.refuse(&node.place, key.clone(), refusal);
                    Found::Refused
                }
            }
        }
        found
    }

    /// The same for a value that some layer must have; `None` where it is missing or was refused.
    pub(crate) fn required<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        expected: &str,
        read: impl Fn(&Node) -> Result<T, Refusal>,
    ) -> Option<At<T>> {
        let found = self.optional(reader, name, |_, node, _| read(node));
        self.demand(name, expected, found)
    }

    /// Takes note where what was found is absent.
    pub(crate) fn demand<T>(&mut self, name: &str, expected: &str, found: Found<T>) -> Option<At<T>> {
        match found {
            Found::Value(at) => Some(at),
            Found::Absent => {
                let what = format!("missing key {name:?}{}", self.within());
                self.lacks(name, Refusal::new(what, expected));
                None
            }
            Found::Refused => None,
        }
    }

    /// Takes note that a key is missing.
    pub(crate) fn lacks(&mut self, name: &str, refusal: Refusal) {
        self.missing.push((name.to_owned(), refusal));
    }

    /// A list in which no two items have the same `identity`.
    pub(crate) fn list<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        expected: &str,
        read: impl Fn(&Node) -> Result<T, Refusal>,
        identity: impl Fn(&T) -> &str,
    ) -> Found<Vec<T>> {
        self.optional(reader, name, |reader, node, key| {
            let mut items = Vec::new();
            let mut places = BTreeMap::new();
            for (index, item) in value::list(node, expected)?.iter().enumerate() {
                let key = format!("{key}[{index}]");
                let read = read(item).and_then(|value| {
                    let name = identity(&value).to_owned();
                    if let Some(first) = places.get(&name) {
                        return Err(Refusal::new(format!("{name:?} occurs twice; first at {first}"), ""));
                    }
                    places.insert(name, item.place.clone());
                    Ok(value)
                });
                match read {
                    Ok(value) => items.push(value),
                    Err(refusal) => reader.refuse(&item.place, key, refusal),
                }
            }
            Ok(items)
        })
    }

    /// Reports every key that nobody asked for, and every key that is missing unless one of the former was meant for it.
    pub(crate) fn finish(self, reader: &mut Reader) {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let mut meant = BTreeSet::new();
        for table in &self.tables {
            for (name, entry) in table.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
                let near = nearest(name, known.iter().copied());
                meant.extend(near);
                let refusal = Refusal {
                    what: format!("unknown key {name:?}{}", self.within()),
                    expected: one_of(&known),
                    nearest: near.map(str::to_owned),
                };
                reader.refuse(&entry.key_place, "", refusal);
            }
        }
        if !self.lossy {
            for (_, refusal) in self.missing.iter().filter(|(name, _)| !meant.contains(name.as_str())) {
                reader.refuse(&self.place, "", refusal.clone());
            }
        }
    }
}
