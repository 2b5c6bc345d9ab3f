//! A file as a tree in which every key and value has its place.

use std::collections::BTreeMap;

use crate::diagnostic::Place;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) place: Place,
}

/// A value as written, before its expected type is known.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Text(String),
    /// A whole number and its text; `None` if it does not even fit in 128 bits.
    Integer(Option<i128>, String),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Entry>),
    /// A float or a date, with its text: no key has such a value.
    Other(&'static str, String),
    /// From the environment, which has no types: a text, number, boolean or comma-separated list, depending on the key.
    Untyped(String),
}

/// A value under its key.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}
