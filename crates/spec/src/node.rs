//! A file as a tree whose every key and value knows its place.

use std::collections::BTreeMap;

use crate::diagnostic::Place;

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
    Integer(Option<i128>, String),
    Boolean(bool),
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
