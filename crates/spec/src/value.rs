//! Converts nodes of the tree to typed values.

use crate::node::{Data, Node};
use crate::sizes::whole;
use crate::{InvalidValue, Limits, Port};

impl Data {
    /// `"4096" is a string`, for a message that something else was expected.
    fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?} is a string"),
            Self::Integer(_, written) => format!("{written} is a number"),
            Self::Boolean(truth) => format!("{truth} is a boolean"),
            Self::List(_) => "this is a list".to_owned(),
            Self::Table(_) => "this is a table".to_owned(),
            Self::Other(kind, written) => format!("{written} is {kind}"),
            Self::Untyped(text) => format!("{text:?} does not fit"),
        }
    }

    pub(crate) fn mismatch(&self, expected: impl Into<String>) -> InvalidValue {
        InvalidValue::new(self.describe(), expected)
    }
}

/// A text; `expected` describes a valid one.
pub(crate) fn text<'n>(node: &'n Node, expected: &str) -> Result<&'n str, InvalidValue> {
    match &node.data {
        Data::Text(text) | Data::Untyped(text) => Ok(text),
        other => Err(other.mismatch(expected)),
    }
}

pub(crate) fn boolean(node: &Node) -> Result<bool, InvalidValue> {
    match &node.data {
        Data::Boolean(truth) => Ok(*truth),
        Data::Untyped(text) if text == "true" => Ok(true),
        Data::Untyped(text) if text == "false" => Ok(false),
        other => Err(other.mismatch("true or false")),
    }
}

pub(crate) fn port(node: &Node) -> Result<Port, InvalidValue> {
    number(node, Port::EXPECTED)?.try_into()
}

pub(crate) fn limited(node: &Node, limits: &Limits) -> Result<u64, InvalidValue> {
    limits.check(number(node, &limits.expected())?)
}

/// A whole number of any size; `expected` describes a valid one.
pub(crate) fn number(node: &Node, expected: &str) -> Result<i128, InvalidValue> {
    match &node.data {
        Data::Integer(Some(number), _) => Ok(*number),
        Data::Integer(None, written) => {
            Err(InvalidValue::new(format!("{written} is out of range"), expected))
        }
        Data::Untyped(text) => whole(text.trim())
            .ok_or_else(|| InvalidValue::new(format!("{text:?} is not a whole number"), expected)),
        other => Err(other.mismatch(expected)),
    }
}

/// The items of a list, each with its own place.
pub(crate) fn list(node: &Node, expected: &str) -> Result<Vec<Node>, InvalidValue> {
    match &node.data {
        Data::List(items) => Ok(items.clone()),
        Data::Untyped(text) => Ok(text
            .split(',')
            .map(|item| Node { data: Data::Untyped(item.trim().to_owned()), place: node.place.clone() })
            .collect()),
        other => Err(other.mismatch(expected)),
    }
}
