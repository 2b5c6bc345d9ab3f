//! Reads keys through all layers at once: every layer is checked, the highest one wins.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostic, Place};
use crate::document::Document;
use crate::invalid_value::one_of;
use crate::node::{Data, Entry, Node};
use crate::origin::Origins;
use crate::{InvalidValue, nearest, value};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What became of a key.
pub(crate) enum Lookup<T> {
    /// The value of the highest layer that has the key.
    Value(At<T>),
    /// No layer has it.
    Absent,
    /// The highest layer that has it has it wrong, which was reported.
    Refused,
}

impl<T> Lookup<T> {
    /// The value or, where the key is absent, `default`; `None` where it was refused.
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

/// What reading gathers besides the values.
pub(crate) struct Reader {
    variables: BTreeMap<&'static str, Node>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) origins: Origins,
}

impl Reader {
    /// Starts with what is wrong before any key is read.
    pub(crate) fn new(variables: BTreeMap<&'static str, Node>, diagnostics: Vec<Diagnostic>) -> Self {
        Self { variables, diagnostics, origins: Origins::default() }
    }

    pub(crate) fn report(&mut self, place: &Place, key: impl Into<String>, invalid: InvalidValue) {
        self.diagnostics.push(Diagnostic { place: place.clone(), key: key.into(), error: invalid });
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
    missing: Vec<(String, InvalidValue)>,
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
                reader.report(&entry.node.place, path.clone(), entry.node.data.mismatch("a table"));
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
            self.lacks(name, InvalidValue::new(what, ""));
            section.lossy = true;
        }
        section
    }

    /// The value of that name in the highest layer that has it; `read` checks it in every layer.
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

    /// The same for a value that some layer must have; `None` where it is missing or was refused.
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

    /// Takes note where what was found is absent.
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

    /// Takes note that a key is missing.
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

    /// Reports every key that nobody asked for, and every key that is missing unless one of the former was meant for it.
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
