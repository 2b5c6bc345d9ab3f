//! Checks whether the lines of a record are those that were written.

use serde::Serialize;

use crate::error::Error;
use crate::files::Files;
use crate::head;
use crate::line::{check, found_broken, genesis};
use crate::reader::Reader;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Every line is as it was written, and none is missing.
    Whole {
        /// The number of lines.
        lines: u64,
        /// Events that were not written because the record is full.
        unwritten: u64,
    },
    /// A line was changed or is missing.
    Wrong {
        /// The first line that is wrong.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Checks a record. A record that is still being written is checked as far as it is written.
pub fn verify(files: &Files) -> Result<Verdict, Error> {
    // Read the head first: lines are written before it, so there are at least as many as it knows.
    let known = head::read(&files.head).map_err(|e| Error::io("read", &files.head, e))?;
    let mut reader = Reader::open(files)?;
    let (mut lines, mut bytes, mut hash) = (0, 0, genesis());
    let wrong = |line, why: String| Ok(Verdict::Wrong { line, why });
    while let Some(line) = reader.next_line()? {
        lines += 1;
        bytes += line.len() as u64 + 1;
        hash = match check(&line, lines, &hash) {
            Ok(hash) => hash,
            Err(why) => return wrong(lines, why),
        };
        if let Some(why) = found_broken(&line) {
            return wrong(lines, format!("the record was changed before this line: {why}"));
        }
        if let Some(known) = known.as_ref().filter(|known| known.lines == lines)
            && (known.hash != hash || known.bytes != bytes)
        {
            return wrong(lines, "it does not match the head".into());
        }
    }
    match known {
        None => wrong(1, format!("{} has no valid head", files.head)),
        Some(known) if known.lines > lines => {
            wrong(lines + 1, format!("it is missing: there were {} lines", known.lines))
        }
        Some(_) if reader.rest() > 0 => {
            wrong(lines + 1, "it has no end: its writer was killed or is still writing".into())
        }
        Some(known) => Ok(Verdict::Whole { lines, unwritten: known.unwritten }),
    }
}
