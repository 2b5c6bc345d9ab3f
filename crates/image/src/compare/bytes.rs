//! The first byte in which two streams differ.

use std::fs::File;
use std::io::{self, Read};

use camino::Utf8Path;
use serde::Serialize;

use crate::error::{Error, IoContext as _};

const CHUNK: usize = 1 << 18;

/// Bytes shown before the first difference, and from it on.
const BEFORE: usize = 16;
const AFTER: usize = 24;

/// The first difference of two streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ByteDifference {
    /// Counted from 0.
    pub offset: u64,
    /// The surrounding bytes in each stream, unprintable ones as `\xNN`.
    pub around: [String; 2],
}

/// Reads both until they differ or end.
pub(super) fn first(mut a: impl Read, mut b: impl Read) -> io::Result<Option<ByteDifference>> {
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut offset = 0_u64;
    loop {
        let (in_a, in_b) = (fill(&mut a, &mut ours)?, fill(&mut b, &mut theirs)?);
        let (x, y) = (&ours[..in_a], &theirs[..in_b]);
        if x != y {
            let at = x.iter().zip(y).position(|(x, y)| x != y).unwrap_or(in_a.min(in_b));
            let around = [x, y].map(|bytes| {
                let from = at.saturating_sub(BEFORE);
                bytes[from.min(bytes.len())..(at + AFTER).min(bytes.len())].escape_ascii().to_string()
            });
            return Ok(Some(ByteDifference { offset: offset + at as u64, around }));
        }
        if in_a == 0 {
            return Ok(None);
        }
        offset += in_a as u64;
    }
}

pub(super) fn files(a: &Utf8Path, b: &Utf8Path) -> Result<Option<ByteDifference>, Error> {
    let (x, y) = (File::open(a).at("open", a)?, File::open(b).at("open", b)?);
    first(x, y).at("compare", a)
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
