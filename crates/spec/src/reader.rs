//! Reads keys from all layers at once: every layer is checked, the highest one wins.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostic, Place};
use crate::document::Document;
use crate::invalid_value::one_of;
use crate::node::{Data, Entry, Node};
use crate::origin::Origins;
use crate::{InvalidValue, nearest, value};

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// The result of reading a key.
pub(crate) enum Lookup<T> {
    /// The value in the highest layer that has the key.
    Value(At<T>),
    /// No layer has it.
    Absent,
    /// The value in the highest layer that has the key is invalid, which was reported.
    Refused,
}

impl<T> Lookup<T> {
    /// The value, or `default` if the key is absent; `None` if it was invalid.
    pub(crate) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Value(at) => Some(at.value),
            Self::Absent => Some(default),
            Self::Refused => None,
        }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Value(At { value, place }) => Lookup::Value(At { value: change(value), place }),
            Self::Absent => Lookup::Absent,
            Self::Refused => Lookup::Refused,
        }
    }
}

/// What is collected while reading, in addition to the values.
pub(crate) struct Reader {
    variables: BTreeMap<&'static str, Node>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) origins: Origins,
}

impl Reader {
    /// Starts with the errors that were found before any key is read.
    pub(crate) fn new(variables: BTreeMap<&'static str, Node>, diagnostics: Vec<Diagnostic>) -> Self {
        Self { variables, diagnostics, origins: Origins::default() }
    }

    pub(crate) fn report(&mut self, place: &Place, key: impl Into<String>, invalid: InvalidValue) {
        self.diagnostics.push(Diagnostic { place: place.clone(), key: key.into(), error: invalid });
    }
}

/// A table in all layers.
pub(crate) struct Section<'d> {
    /// Its dotted path; empty for the root.
    path: String,
    /// The layers that have the table, lowest first.
    tables: Vec<&'d BTreeMap<String, Entry>>,
    /// The place where a missing key is reported.
    place: Place,
    /// Whether a missing key may have been lost with a reported error, so that it must not be reported again.
    lossy: bool,
    /// The keys that were read.
    known: Vec<String>,
    /// Required keys that are missing, with the error for each.
    missing: Vec<(String, InvalidValue)>,
}

impl<'d> Section<'d> {
    /// The root of all files, lowest layer first.
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

    /// The dotted path of a key of this table.
    pub(crate) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn within(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) }
    }

    /// All names in this table, in any layer, with the first place of each.
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

    /// The subtable of this name; empty if no layer has it.
    pub(crate) fn section(&mut self, reader: &mut Reader, name: &str) -> Section<'d> {
        let path = self.key(name);
        let entries = self.entries(name);
        let mut lossy = self.lossy;
        let mut tables = Vec::new();
        for entry in &entries {
            if let Data::Table(table) = &entry.node.data {
                tables.push(table);
            } else {
                reader.report(&entry.node.place, path.clone(), entry.node.data.mismatch("a table"));
                lossy = true;
            }
        }
        let place = entries.first().map_or(&self.place, |entry| &entry.key_place).clone();
        Section { path, tables, place, lossy, known: Vec::new(), missing: Vec::new() }
    }

    /// The subtable of this name, which at least one layer must have.
    pub(crate) fn required_section(&mut self, reader: &mut Reader, name: &str) -> Section<'d> {
        let mut section = self.section(reader, name);
        if section.tables.is_empty() && !section.lossy {
            let what = format!("missing table [{}]", section.path);
            self.lacks(name, InvalidValue::new(what, ""));
            section.lossy = true;
        }
        section
    }

    /// The value of this name in the highest layer that has it; `read` checks it in every layer.
    pub(crate) fn optional<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        read: impl Fn(&mut Reader, &Node, &str) -> Result<T, InvalidValue>,
    ) -> Lookup<T> {
        let key = self.key(name);
        let variable = reader.variables.get(key.as_str()).cloned();
        let nodes = self.entries(name).into_iter().map(|entry| entry.node.clone()).chain(variable);
        let mut found = Lookup::Absent;
        for node in nodes {
            let before = reader.diagnostics.len();
            found = match read(reader, &node, &key) {
                Ok(value) if reader.diagnostics.len() == before => {
                    reader.origins.set(key.clone(), node.place.origin());
                    Lookup::Value(At { value, place: node.place })
                }
                Ok(_) => Lookup::Refused,
                Err(invalid) => {
                    reader.report(&node.place, key.clone(), invalid);
                    Lookup::Refused
                }
            }
        }
        found
    }

    /// The same for a value that at least one layer must have; `None` if it is missing or invalid.
    pub(crate) fn required<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        expected: &str,
        read: impl Fn(&Node) -> Result<T, InvalidValue>,
    ) -> Option<At<T>> {
        let found = self.optional(reader, name, |_, node, _| read(node));
        self.demand(name, expected, found)
    }

    /// Records a missing key if the value is absent.
    pub(crate) fn demand<T>(&mut self, name: &str, expected: &str, found: Lookup<T>) -> Option<At<T>> {
        match found {
            Lookup::Value(at) => Some(at),
            Lookup::Absent => {
                let what = format!("missing key {name:?}{}", self.within());
                self.lacks(name, InvalidValue::new(what, expected));
                None
            }
            Lookup::Refused => None,
        }
    }

    /// Records that a key is missing.
    pub(crate) fn lacks(&mut self, name: &str, invalid: InvalidValue) {
        self.missing.push((name.to_owned(), invalid));
    }

    /// A list in which no two items have the same `identity`.
    pub(crate) fn list<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        expected: &str,
        read: impl Fn(&Node) -> Result<T, InvalidValue>,
        identity: impl Fn(&T) -> &str,
    ) -> Lookup<Vec<T>> {
        self.optional(reader, name, |reader, node, key| {
            let mut items = Vec::new();
            let mut places = BTreeMap::new();
            for (index, item) in value::list(node, expected)?.iter().enumerate() {
                let key = format!("{key}[{index}]");
                let read = read(item).and_then(|value| {
                    let name = identity(&value).to_owned();
                    if let Some(first) = places.get(&name) {
                        return Err(InvalidValue::new(
                            format!("{name:?} occurs twice; first at {first}"),
                            "",
                        ));
                    }
                    places.insert(name, item.place.clone());
                    Ok(value)
                });
                match read {
                    Ok(value) => items.push(value),
                    Err(invalid) => reader.report(&item.place, key, invalid),
                }
            }
            Ok(items)
        })
    }

    /// Reports every unknown key, and every missing key unless an unknown one is likely a misspelling of it.
    pub(crate) fn finish(self, reader: &mut Reader) {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let mut meant = BTreeSet::new();
        for table in &self.tables {
            for (name, entry) in table.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
                let near = nearest(name, known.iter().copied());
                meant.extend(near);
                let invalid = InvalidValue {
                    what: format!("unknown key {name:?}{}", self.within()),
                    expected: one_of(&known),
                    nearest: near.map(str::to_owned),
                };
                reader.report(&entry.key_place, "", invalid);
            }
        }
        if !self.lossy {
            for (_, invalid) in self.missing.iter().filter(|(name, _)| !meant.contains(name.as_str())) {
                reader.report(&self.place, "", invalid.clone());
            }
        }
    }
}
