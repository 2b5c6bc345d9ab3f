//! HTTP/1 heads (RFC 9112) between a browser of the host and a server in the guest: parsed strictly and rendered again.
//! Neither end is trusted; what two programs could interpret differently is refused.

use crate::body::Body;
use crate::head::{self, MAX_HEAD};
use crate::message::{field, framing, only};

/// The largest number of fields.
const MAX_FIELDS: usize = 100;

/// A head: its first line and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first: String,
    /// Names as they arrived, values without surrounding space.
    pub(crate) fields: Vec<(String, String)>,
}

/// Takes a complete head from the front. Returns nothing if it is incomplete, and an error if it is malformed.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Result<Option<Head>, String> {
    // Anything but HTTP is refused at its first byte.
    if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Err("it is not HTTP".into());
    }
    let window = &bytes[..bytes.len().min(MAX_HEAD)];
    let Some(end) = head::end(window) else {
        return if bytes.len() >= MAX_HEAD { Err("its head is too long".into()) } else { Ok(None) };
    };
    let head = Head::parse(&bytes[..end - 4])?;
    bytes.drain(..end);
    Ok(Some(head))
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "its head is not text")?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let fields: Vec<(String, String)> =
            lines.map(|line| field(line).map(owned)).collect::<Result<_, _>>().map_err(of_it)?;
        if !is_plain(&first) || !fields.iter().all(|(_, value)| is_plain(value)) {
            return Err("its head has control characters".into());
        }
        if fields.len() > MAX_FIELDS {
            return Err("its head has too many fields".into());
        }
        Ok(Self { first, fields })
    }

    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }

    /// The value of a field that may occur once.
    pub(crate) fn only<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, String> {
        only(self.values(name), name).map_err(of_it)
    }

    /// Whether a field with a list contains this word.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    }

    /// The length of the body according to the fields; nothing if they do not give one.
    pub(crate) fn length(&self) -> Result<Option<Body>, String> {
        let is_old = self.first.ends_with(" HTTP/1.0") || self.first.starts_with("HTTP/1.0 ");
        framing(is_old, self.values("transfer-encoding"), self.values("content-length")).map_err(of_it)
    }

    /// Appends it as bytes, with its final empty line.
    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        out.extend(self.first.as_bytes());
        for (name, value) in &self.fields {
            out.extend([b"\r\n", name.as_bytes(), b": ", value.as_bytes()].concat());
        }
        out.extend(b"\r\n\r\n");
    }
}

fn of_it(flaw: impl std::fmt::Display) -> String {
    format!("it {flaw}")
}
