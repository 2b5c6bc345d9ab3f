//! Parsers of untrusted data are fed mutated samples on stable Rust, and the same samples are the seeds of the fuzz
//! targets in `fuzz/`, without which a fuzzer takes hours to find the first valid input.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// A parser: the name of its fuzz target, and a function that panics if the parser does.
pub type Parser = (&'static str, fn(&[u8]));

/// Valid input of a parser, with the parser's name.
pub type Sample = (&'static str, Vec<u8>);

/// The environment variable with the folder for [`save_seeds`].
const SEEDS: &str = "RAVE_FUZZ_SEEDS";
/// How long a parser may take for a mutated sample, also on a loaded host in a debug build.
const PATIENCE: Duration = Duration::from_secs(1);

/// A change as a fuzzer makes it.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index),
    Put(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
}

/// Boundary values of any width, noise, and what text formats give a meaning to.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        Just(u64::MAX),
        Just(1 << 63),
        Just(1 << 60),
        Just(u64::from(u32::MAX)),
        Just(0),
        any::<u64>()
    ];
    let width = prop_oneof![Just(1), Just(2), Just(4), Just(8)];
    prop_oneof![
        (number, width, any::<bool>()).prop_map(|(number, width, is_big)| {
            if is_big {
                number.to_be_bytes()[8 - width..].to_vec()
            } else {
                number.to_le_bytes()[..width].to_vec()
            }
        }),
        proptest::collection::vec(any::<u8>(), 1..9),
        "[<>\"'&;|=\\[\\]!-]{1,4}".prop_map(String::into_bytes),
        "[{}\\[\\]\",:0-9e.\\\\\r\n -]{1,6}".prop_map(String::into_bytes),
        Just(b"18446744073709551615".to_vec()),
        Just(b"../".to_vec()),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Change::Cut),
        4 => (at(), piece()).prop_map(|(at, piece)| Change::Put(at, piece)),
        2 => (at(), piece()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => (at(), 1_usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (at(), 1_usize..200).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let (Change::Cut(at)
    | Change::Put(at, _)
    | Change::Insert(at, _)
    | Change::Remove(at, _)
    | Change::Repeat(at, _)) = change;
    let at = at.index(bytes.len() + 1);
    let end = |length: usize| (at + length).min(bytes.len());
    match change {
        Change::Cut(_) => bytes.truncate(at),
        Change::Put(_, piece) => drop(bytes.splice(at..end(piece.len()), piece.iter().copied())),
        Change::Insert(_, piece) => drop(bytes.splice(at..at, piece.iter().copied())),
        Change::Remove(_, length) => drop(bytes.drain(at..end(*length))),
        Change::Repeat(_, length) => {
            let again = bytes[at..end(*length)].to_vec();
            drop(bytes.splice(at..at, again));
        }
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

/// Feeds each parser its samples, then mutated ones.
///
/// # Panics
/// If a parser panics or is slow, if one has no sample, and if a sample belongs to no parser.
pub fn feed_mutated(parsers: &[Parser], samples: &[Sample]) {
    for (name, feed) in parsers {
        let own: Vec<_> = samples.iter().filter(|(of, _)| of == name).map(|(_, bytes)| bytes).collect();
        assert!(!own.is_empty(), "{name} has no sample");
        for bytes in own {
            feed(bytes);
        }
    }
    let cases = 1500.max(200 * u32::try_from(samples.len()).unwrap_or(u32::MAX));
    let mutations = (any::<Index>(), proptest::collection::vec(change(), 1..6));
    let result = runner(cases).run(&mutations, |(which, changes)| {
        let (name, sample) = &samples[which.index(samples.len())];
        let (_, feed) = parsers.iter().find(|(of, _)| of == name).expect("a sample belongs to a parser");
        let mut bytes = sample.clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        let started = Instant::now();
        feed(&bytes);
        prop_assert!(started.elapsed() < PATIENCE, "{name} is slow");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Feeds arbitrary bytes to each parser.
///
/// # Panics
/// If a parser does.
pub fn feed_any(parsers: &[Parser]) {
    let bytes = proptest::collection::vec(any::<u8>(), 0..1500);
    let result = runner(256).run(&bytes, |bytes| {
        for (_, feed) in parsers {
            feed(&bytes);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Writes each sample to a file of its own below the folder that `RAVE_FUZZ_SEEDS` names, in the layout of
/// cargo-fuzz: a folder for each target. Does nothing without the variable.
///
/// # Panics
/// If a file cannot be written.
pub fn save_seeds(samples: &[Sample]) {
    let Some(folder) = std::env::var_os(SEEDS) else { return };
    for (number, (name, bytes)) in samples.iter().enumerate() {
        let folder = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder).expect("the folder for seeds can be created");
        std::fs::write(folder.join(format!("sample-{number}")), bytes).expect("a seed can be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses_zeros(bytes: &[u8]) {
        assert!(!bytes.contains(&0), "a zero");
    }

    const ONE: &[Parser] = &[("one", refuses_zeros)];

    #[test]
    #[should_panic(expected = "a zero")]
    fn a_panic_of_a_parser_is_found() {
        feed_mutated(ONE, &[("one", b"abc".to_vec())]);
    }

    #[test]
    #[should_panic(expected = "one has no sample")]
    fn a_parser_without_a_sample_is_found() {
        feed_mutated(ONE, &[]);
    }
}
