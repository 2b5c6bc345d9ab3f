//! Splits bytes into lines, and keeps the last ones.

use std::collections::VecDeque;

use crate::redact::Redactor;

/// How many lines are kept to show with an error.
pub const TAIL_LINES: usize = 40;

/// The most that [`crate::Cmd::output`] captures, in bytes. More is an error, never silently truncated.
pub const CAPTURE_LIMIT: usize = 16 * 1024 * 1024;

/// The length in bytes at which an unterminated line is split, so that memory stays bounded.
pub const MAX_LINE: usize = 8 * 1024;

/// Which of a command's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a command printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The stream it came from.
    pub stream: Stream,
    /// The line without its terminator, invalid UTF-8 replaced, secrets masked.
    pub text: &'a str,
}

/// Splits a stream into lines. `\n`, `\r\n` and `\r` (progress) end a line.
#[derive(Default)]
pub(crate) struct Splitter {
    pending: Vec<u8>,
    after_return: bool,
}

impl Splitter {
    /// Adds `bytes` and calls `emit` with each complete line.
    pub(crate) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        redactor: &Redactor,
        emit: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let newline = bytes[end] == b'\n';
            self.extend(&bytes[..end], redactor, emit)?;
            bytes = &bytes[end + 1..];
            // The second half of `\r\n`, and the empty line before a bare `\r`, do not count as lines.
            let empty = self.pending.is_empty() && (!newline || (self.after_return && end == 0));
            if !empty {
                self.flush(redactor, emit)?;
            }
            self.after_return = !newline;
        }
        self.extend(bytes, redactor, emit)
    }

    /// Calls `emit` with the rest at the end of the stream.
    pub(crate) fn finish<E>(
        &mut self,
        redactor: &Redactor,
        emit: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.pending.is_empty() { Ok(()) } else { self.flush(redactor, emit) }
    }

    fn extend<E>(
        &mut self,
        bytes: &[u8],
        redactor: &Redactor,
        emit: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        if !bytes.is_empty() {
            self.after_return = false;
        }
        // Enough beyond the split that a secret across it is seen completely.
        let limit = MAX_LINE + redactor.longest();
        for chunk in bytes.chunks(MAX_LINE) {
            self.pending.extend_from_slice(chunk);
            while self.pending.len() > limit {
                let cut = match redactor.cut_before(&self.pending, char_boundary(&self.pending, MAX_LINE)) {
                    0 => limit,
                    cut => cut,
                };
                let rest = self.pending.split_off(cut);
                self.flush(redactor, emit)?;
                self.pending = rest;
            }
        }
        Ok(())
    }

    fn flush<E>(
        &mut self,
        redactor: &Redactor,
        emit: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = redactor.apply(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        emit(&line)
    }
}

/// The start of the UTF-8 character at `at`.
fn char_boundary(bytes: &[u8], at: usize) -> usize {
    let start = (at.saturating_sub(3)..=at).rev().find(|&i| bytes[i] & 0xC0 != 0x80);
    start.unwrap_or(at)
}

/// The last [`TAIL_LINES`] lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(VecDeque<String>);

impl Tail {
    pub(crate) fn push(&mut self, line: &str) {
        if self.0.len() == TAIL_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }

    /// The tail of a whole text.
    pub(crate) fn of(bytes: &[u8], redactor: &Redactor) -> Self {
        let (mut tail, mut splitter) = (Self::default(), Splitter::default());
        let mut keep = |line: &str| {
            tail.push(line);
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = splitter.push(bytes, redactor, &mut keep);
        let Ok(()) = splitter.finish(redactor, &mut keep);
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]], redactor: &Redactor) -> Vec<String> {
        let mut lines = Vec::new();
        let mut splitter = Splitter::default();
        let mut keep = |line: &str| {
            lines.push(line.to_owned());
            Ok::<(), std::convert::Infallible>(())
        };
        for chunk in chunks {
            let Ok(()) = splitter.push(chunk, redactor, &mut keep);
        }
        let Ok(()) = splitter.finish(redactor, &mut keep);
        lines
    }

    #[test]
    fn every_kind_of_line_ending_counts_once() {
        let redactor = Redactor::default();
        assert_eq!(lines(&[b"a\nb\r\nc\rd\n\ne"], &redactor), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(lines(&[b"a\r", b"\nb\n"], &redactor), ["a", "b"], "across two reads");
        assert_eq!(lines(&[b"\r10%\r20%\r\n"], &redactor), ["10%", "20%"]);
        assert_eq!(lines(&[b"a\r\n\r\nb"], &redactor), ["a", "b"]);
        assert_eq!(lines(&[b"x\xffy"], &redactor), ["x\u{fffd}y"]);
    }

    #[test]
    fn an_endless_line_is_cut_without_splitting_a_secret() {
        let mut redactor = Redactor::default();
        redactor.add("hunter2-hunter2".into());
        for shift in 0..40 {
            let mut text = vec![b'.'; MAX_LINE - 20 + shift];
            text.extend_from_slice("hunter2-hunter2é".as_bytes());
            text.resize(3 * MAX_LINE, b'.');
            let lines = lines(&[&text[..MAX_LINE - 5], &text[MAX_LINE - 5..]], &redactor);
            assert!(lines.iter().all(|line| line.len() <= MAX_LINE + 16), "shift {shift}");
            let whole = lines.concat();
            assert!(whole.contains("***é") && !whole.contains("unter"), "shift {shift}");
        }
    }

    #[test]
    fn the_tail_is_bounded() {
        let text = (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let tail = Tail::of(text.as_bytes(), &Redactor::default()).lines();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail.last().map(String::as_str), Some("999"));
    }
}
