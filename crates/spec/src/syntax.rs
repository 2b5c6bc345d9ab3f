//! The interface to the `toml` crate: turns byte spans into places, and its errors into diagnostics.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use crate::InvalidValue;
use crate::diagnostic::{Diagnostic, Place};
use crate::node::{Data, Entry, Node};

/// Converts byte offsets of a file to places.
pub(crate) struct Locator<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl Locator<'_> {
    /// The place of the character that contains the byte at `offset`.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let (mut line, mut column) = (1, 1);
        for (index, c) in self.text.char_indices() {
            if index + c.len_utf8() > offset {
                break;
            }
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Place::File { file: self.name.to_owned(), line, column }
    }

    fn slice(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }
}

/// A duplicate key is the only error after which the rest of the file is reliable.
pub(crate) fn is_duplicate_key(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// The diagnostics for `errors`.
///
/// The parser continues after an error, but then often reports its consequences (an unclosed list makes three errors of
/// each following line): other than duplicate keys, only the first error is used.
pub(crate) fn diagnostics(locator: &Locator<'_>, errors: &[Error]) -> Vec<Diagnostic> {
    let end = locator.text.len();
    let span = |error: &Error| error.span().unwrap_or(end..end);
    let (duplicates, others): (Vec<_>, Vec<_>) = errors.iter().partition(|error| is_duplicate_key(error));
    let first = others.into_iter().min_by_key(|error| span(error).start);
    let duplicates = duplicates
        .into_iter()
        .filter(|error| first.is_none_or(|first| span(error).start < span(first).start))
        .map(|error| (span(error).start, duplicate_key(locator, span(error))));
    duplicates
        .chain(first.map(|error| (span(error).start, not_toml(locator, error, span(error)))))
        .map(|(offset, what)| Diagnostic {
            place: locator.place(offset),
            key: String::new(),
            error: InvalidValue::new(what, ""),
        })
        .collect()
}

fn not_toml(locator: &Locator<'_>, error: &Error, span: Range<usize>) -> String {
    // The parser also reports this for `memory =` without a value, and a literal string is never what is missing.
    const UNQUOTED: &str = "string values must be quoted, expected literal string";
    let message = match error.message() {
        UNQUOTED if locator.slice(span).trim().is_empty() => "a value is missing",
        UNQUOTED => "strings must be quoted",
        other => other,
    };
    format!("not valid TOML: {message}")
}

fn duplicate_key(locator: &Locator<'_>, span: Range<usize>) -> String {
    let first = first_of(locator, &span).map(|first| format!("; first at {first}")).unwrap_or_default();
    format!("duplicate key {:?}{first}", unquoted(locator.slice(span)))
}

fn unquoted(key: &str) -> &str {
    key.trim_matches(['"', '\''])
}

/// The place of the first key that is the same as the one at `duplicate`.
///
/// The error only has the span of the second key, so the text is parsed again with that key renamed: the first one is
/// then beside it under the original name.
fn first_of(locator: &Locator<'_>, duplicate: &Range<usize>) -> Option<Place> {
    const RENAMED: &str = "rave-spec-renamed-duplicate";
    let text = locator.text;
    let renamed = format!("{}{RENAMED}{}", text.get(..duplicate.start)?, text.get(duplicate.end..)?);
    let name = unquoted(text.get(duplicate.clone())?);
    let (table, _) = DeTable::parse_recoverable(&renamed);
    find_sibling(table.get_ref(), RENAMED, name).map(|offset| locator.place(offset))
}

/// The offset of the key `name` in the table that also has the key `beside`.
fn find_sibling(table: &DeTable<'_>, beside: &str, name: &str) -> Option<usize> {
    if table.contains_key(beside) {
        return table.get_key_value(name).map(|(key, _)| key.span().start);
    }
    table.values().find_map(|value| match value.get_ref() {
        DeValue::Table(table) => find_sibling(table, beside, name),
        _ => None,
    })
}

/// The table with the place of each key and value; adds to `diagnostics` what Nix cannot read.
pub(crate) fn tree(
    locator: &Locator<'_>,
    table: DeTable<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Entry> {
    table
        .into_iter()
        .map(|(key, value)| {
            let key_place = locator.place(key.span().start);
            let node = node(locator, value.span(), value.into_inner(), diagnostics);
            (key.into_inner().into_owned(), Entry { key_place, node })
        })
        .collect()
}

fn node(
    locator: &Locator<'_>,
    span: Range<usize>,
    value: DeValue<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Node {
    let place = locator.place(span.start);
    let written = locator.slice(span);
    let data = match value {
        DeValue::String(text) => Data::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Data::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok(), written.to_owned())
        }
        DeValue::Boolean(truth) => Data::Boolean(truth),
        DeValue::Float(_) => Data::Other("a fraction", written.to_owned()),
        DeValue::Datetime(_) => Data::Other("a date", written.to_owned()),
        DeValue::Array(items) => Data::List(
            items
                .into_iter()
                .map(|item| node(locator, item.span(), item.into_inner(), diagnostics))
                .collect(),
        ),
        DeValue::Table(table) => {
            if is_newer_inline_table(written) {
                let what =
                    "an inline table with several lines or a trailing comma is TOML 1.1, but Nix reads 1.0";
                let invalid = InvalidValue::new(what, "a [table] of its own, or one line");
                diagnostics.push(Diagnostic { place: place.clone(), key: String::new(), error: invalid });
            }
            Data::Table(tree(locator, table, diagnostics))
        }
    };
    Node { data, place }
}

/// The feature of TOML 1.1 that a hand-written `rave.toml` would use: `{`, newline, entries, comma, newline, `}`.
fn is_newer_inline_table(written: &str) -> bool {
    let blank = |c: char| c == ' ' || c == '\t';
    written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|inside| {
        inside.trim_start_matches(blank).starts_with(['\n', '\r', '#'])
            || inside.trim_end_matches(blank).ends_with(['\n', ','])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let errors = DeTable::parse_recoverable(text).1;
        diagnostics(&Locator { name: "f", text }, &errors).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_duplicate_key_names_the_first_in_its_table() {
        assert_eq!(
            messages("a.x = 1\nx = 2\nb.x = 3\n[c]\nx = 4\nx = 5\n"),
            ["f:6:1: duplicate key \"x\"; first at f:5:1"]
        );
        assert_eq!(messages("x = 1\nb.x = 2\n\"x\" = 3\n"), ["f:3:1: duplicate key \"x\"; first at f:1:1"]);
        assert_eq!(messages("t = { x = 1, x = 2 }\n"), ["f:1:14: duplicate key \"x\"; first at f:1:7"]);
    }

    #[test]
    fn columns_count_characters_and_lines_end_at_newlines() {
        let locator = Locator { name: "f", text: "ä = 1\r\nöö = 2" };
        let at = |offset| locator.place(offset).to_string();
        assert_eq!((at(0), at(2), at(3)), ("f:1:1".into(), "f:1:2".into(), "f:1:3".into()));
        assert_eq!((at(8), at(9), at(12)), ("f:2:1".into(), "f:2:1".into(), "f:2:3".into()));
        assert_eq!(at(1000), "f:2:7");
    }

    #[test]
    fn toml_1_1_inline_tables_are_distinguished_from_those_of_1_0() {
        for old in ["{}", "{ a = 1 }", "{ a = [\n1,\n] }", "{a=1,b={c=2}}"] {
            assert!(!is_newer_inline_table(old), "{old}");
        }
        for new in ["{\n a = 1 }", "{ a = 1, }", "{ a = 1\n}", "{ # why\n a = 1 }", "{\r\na = 1\r\n}"] {
            assert!(is_newer_inline_table(new), "{new}");
        }
    }
}
