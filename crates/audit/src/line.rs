//! One line: an entry as JSON in printable ASCII, with the hash that chains it to the previous line.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::Event;

/// The longest line that is written or read, in bytes, with its line feed: the texts of an event are bounded, and each
/// of their characters takes at most twelve bytes.
pub(crate) const MAX_LINE: usize = 128 * 1024;

/// The bytes around the hash in a line.
const BEFORE: &[u8] = b",\"hash\":\"";
const AFTER: &[u8] = b"\"}";
const HEX: usize = 64;

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// Equal events of one second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the line; the first is 1.
    pub n: u64,
    /// When the first event happened, in milliseconds since 1970.
    pub first: u64,
    /// When the last event happened.
    pub last: u64,
    /// The number of events.
    pub count: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Entry {
    /// Parses a line. Returns nothing if it is not an entry.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// The hash that takes the place of a previous line for the first one.
pub(crate) fn genesis() -> Hash {
    Sha256::digest(b"rave-audit 1\n").into()
}

pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(HEX), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Hash> {
    let is_plain = text.len() == HEX && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut hash = Hash::default();
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2).filter(|_| is_plain)?, 16).ok()?;
    }
    Some(hash)
}

/// The line of an entry, with its line feed, and its hash.
pub(crate) fn render(entry: &Entry, previous: &Hash) -> serde_json::Result<(Vec<u8>, Hash)> {
    let mut body = ascii(&serde_json::to_string(entry)?);
    let hash = chain(previous, body.as_bytes());
    body.pop();
    let mut line = body.into_bytes();
    line.extend(BEFORE);
    line.extend(hex(&hash).as_bytes());
    line.extend(AFTER);
    line.push(b'\n');
    Ok((line, hash))
}

/// The field that lines of every version have.
#[derive(Deserialize)]
struct Number {
    n: u64,
}

/// The hash of a line (without its line feed) if it is chained to `previous`; otherwise the reason why not.
pub(crate) fn check(line: &[u8], number: u64, previous: &Hash) -> Result<Hash, String> {
    let split = line.len().checked_sub(BEFORE.len() + HEX + AFTER.len());
    let parts = split.map(|at| (&line[..at], &line[at..at + BEFORE.len()], &line[at + BEFORE.len()..]));
    let Some((body, BEFORE, rest)) = parts else { return Err("it has no hash".into()) };
    let written = rest.strip_suffix(AFTER).and_then(|hex| unhex(std::str::from_utf8(hex).ok()?));
    let written = written.ok_or("it has no hash")?;
    let hash = chain(previous, &[body, b"}"].concat());
    if hash != written {
        return Err("its hash does not match its bytes and the previous line".into());
    }
    // A chain that was restarted is valid too; only the number reveals it.
    match serde_json::from_slice::<Number>(line) {
        Ok(Number { n }) if n == number => Ok(hash),
        Ok(Number { n }) => Err(format!("it claims to be line {n}")),
        Err(_) => Err("it is not JSON".into()),
    }
}

/// The change that the writer of this line had found, if it is a [`Broken`](Event::Broken) line.
pub(crate) fn found_broken(line: &[u8]) -> Option<String> {
    match Entry::parse(line)?.event {
        Event::Broken { why } => Some(why),
        _ => None,
    }
}

fn chain(previous: &Hash, body: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(body).finalize().into()
}

/// JSON in printable ASCII only: no character has an effect on a terminal, whichever program prints it.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(to: &str) -> Entry {
        let event = Event::Denied { what: "name".into(), to: to.into(), rule: "no rule".into() };
        Entry { n: 1, first: 5, last: 7, count: 2, event }
    }

    #[test]
    fn a_line_has_the_documented_format() {
        let (line, hash) = render(&entry("a.example"), &genesis()).unwrap();
        let body = r#"{"n":1,"first":5,"last":7,"count":2,"event":"denied","what":"name","to":"a.example","rule":"no rule"}"#;
        let expected = Sha256::new().chain_update(genesis()).chain_update(body).finalize();
        assert_eq!(hash, expected.as_slice());
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text, format!("{},\"hash\":\"{}\"}}\n", body.trim_end_matches('}'), hex(&hash)));
    }

    #[test]
    fn guest_text_is_printable_and_on_one_line() {
        let to = "\x1b[2J\x1b]0;x\x07\n{\"n\":2}\u{9b}31m\u{202e}\u{1f600}\u{7f}\"\\";
        let (line, _) = render(&entry(to), &genesis()).unwrap();
        let (end, text) = line.split_last().unwrap();
        assert!(*end == b'\n' && text.iter().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
        let Event::Denied { to: read, .. } = Entry::parse(&line).unwrap().event else { panic!() };
        assert_eq!(read, to);
    }

    proptest! {
        #[test]
        fn any_text_round_trips(to in any::<String>()) {
            let (line, hash) = render(&entry(&to), &genesis()).unwrap();
            let text = &line[..line.len() - 1];
            prop_assert_eq!(check(text, 1, &genesis()), Ok(hash));
            prop_assert!(text.is_ascii() && Entry::parse(text) == Some(entry(&to)));
        }

        #[test]
        fn arbitrary_bytes_are_not_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(check(&bytes, 1, &genesis()).is_err());
        }
    }
}
