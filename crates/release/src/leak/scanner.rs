//! Searches secrets and names in a stream of any length, in bounded memory.

use std::io::{self, Read};

use aho_corasick::{AhoCorasick, MatchKind};
use rave_image::digest::Digest;
use rave_process::interrupt;

use super::finding::Rule;
use super::names::{self, Needle};
use super::secrets::{self, AHEAD, SECRETS};

/// Bytes searched at once.
const CHUNK: usize = 1 << 20;

/// A match in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) rule: Rule,
    /// Its offset.
    pub(super) at: u64,
    /// Distinguishes it from other secrets without revealing it.
    pub(super) what: Digest,
}

/// The search for all patterns.
pub(super) struct Scanner {
    beginnings: AhoCorasick,
    needles: Vec<Needle>,
}

impl Scanner {
    /// Searches for every kind of secret, and these needles.
    pub(super) fn new(needles: Vec<Needle>) -> Self {
        let texts = SECRETS.iter().map(|kind| kind.start);
        let texts = texts.chain(needles.iter().map(|needle| needle.text.as_str()));
        let beginnings = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(texts)
            .expect("a few short patterns");
        Self { beginnings, needles }
    }

    /// Reads a whole stream; reports matches in order.
    pub(super) fn scan(&self, from: &mut dyn Read, found: &mut dyn FnMut(Match)) -> io::Result<()> {
        let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + AHEAD + 1);
        // The buffer's offset in the stream, and how much of it was searched before.
        let (mut start, mut done) = (0_u64, 0);
        loop {
            interrupt::check().map_err(io::Error::other)?;
            let kept = buffer.len();
            let wanted = (CHUNK + AHEAD + 1 - kept) as u64;
            Read::take(&mut *from, wanted).read_to_end(&mut buffer)?;
            let is_end = buffer.len() == kept;
            let limit = if is_end { buffer.len() } else { buffer.len().saturating_sub(AHEAD) };
            self.search(&buffer, done..limit, start, found);
            if is_end {
                return Ok(());
            }
            // Keep one more byte: the byte before a match matters.
            let gone = limit.max(done).saturating_sub(1);
            buffer.drain(..gone);
            start += gone as u64;
            done = limit.max(done) - gone;
        }
    }

    fn search(
        &self,
        buffer: &[u8],
        within: std::ops::Range<usize>,
        start: u64,
        found: &mut dyn FnMut(Match),
    ) {
        let mut from = within.start;
        while let Some(hit) = self.beginnings.find(aho_corasick::Input::new(buffer).range(from..)) {
            if hit.start() >= within.end {
                break;
            }
            let before = hit.start().checked_sub(1).map(|at| buffer[at]);
            if let Some((rule, what)) = self.matched(hit.pattern().as_usize(), before, &buffer[hit.start()..])
            {
                found(Match { rule, at: start + hit.start() as u64, what });
            }
            // Not after the whole match: a name may be inside a path.
            from = hit.start() + 1;
        }
    }

    fn matched(&self, pattern: usize, before: Option<u8>, bytes: &[u8]) -> Option<(Rule, Digest)> {
        if let Some(kind) = SECRETS.get(pattern)
            && let Some(secret) = secrets::secret(kind, before, &bytes[..bytes.len().min(AHEAD)])
        {
            return Some((kind.rule, Digest::of_bytes(secret)));
        }
        // A folder is the beginning of another one: only the longer is a match of the automaton.
        let stands_alone = |needle: &&Needle| {
            let after = bytes.get(needle.text.len()).copied();
            bytes.starts_with(needle.text.as_bytes()) && names::is_delimited(needle.rule, before, after)
        };
        let needle = self.needles[pattern.saturating_sub(SECRETS.len())..].iter().find(stands_alone)?;
        Some((needle.rule, Digest::of_bytes(needle.text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner() -> Scanner {
        let needle = |rule, text: &str| Needle { rule, text: text.into() };
        Scanner::new(vec![needle(Rule::BuildPath, "/home/quokka/rave"), needle(Rule::BuilderUser, "quokka")])
    }

    fn found(bytes: &[u8]) -> Vec<(Rule, u64)> {
        let mut all = Vec::new();
        scanner().scan(&mut &*bytes, &mut |found| all.push((found.rule, found.at))).unwrap();
        all
    }

    #[test]
    fn a_secret_is_found_across_chunk_boundaries() {
        let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0".repeat(2));
        for shift in -50_i64..50 {
            for edge in [CHUNK, CHUNK + AHEAD, 2 * CHUNK, 2 * CHUNK + 2 * AHEAD] {
                let at = usize::try_from(i64::try_from(edge).unwrap() + shift).unwrap();
                let mut bytes = vec![0; at];
                bytes.extend(token.as_bytes());
                assert_eq!(found(&bytes), [(Rule::Token, at as u64)], "at {at}, the end of the stream");
                bytes.extend(vec![0; CHUNK]);
                assert_eq!(found(&bytes), [(Rule::Token, at as u64)], "at {at}");
            }
        }
    }

    #[test]
    fn a_folder_is_found_where_the_name_of_a_longer_one_goes_on() {
        let needle = |text: &str| Needle { rule: Rule::BuildPath, text: text.into() };
        let scanner = Scanner::new(vec![needle("/home/ci/rave"), needle("/home/ci")]);
        for (text, expected) in [("/home/ci/rave2/x", 1), ("/home/ci/rave/x", 1), ("/home/city/rave", 0)] {
            let mut count = 0;
            scanner.scan(&mut text.as_bytes(), &mut |_| count += 1).unwrap();
            assert_eq!(count, expected, "{text}");
        }
    }

    #[test]
    fn names_stand_alone_and_are_found_within_paths() {
        assert_eq!(found(b"x/home/quokka/rave/y"), [(Rule::BuildPath, 1), (Rule::BuilderUser, 7)]);
        assert_eq!(found(b"/home/quokka/ravenous"), [(Rule::BuilderUser, 6)]);
        assert_eq!(found(b"quokkas, aquokka"), []);
        assert_eq!(found(b"quokka"), [(Rule::BuilderUser, 0)]);
        assert_eq!(found(b""), []);
    }
}
