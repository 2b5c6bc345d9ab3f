//! A console's bytes as lines without escape sequences, in bounded memory.

use std::collections::VecDeque;

use crate::terminal_text::plain;

/// How many lines are kept.
pub(super) const TAIL_LINES: usize = 30;

/// The longest line that is kept or matched, bytes; the rest of a longer line is dropped.
const LINE_LIMIT: usize = 2048;

/// Collects a console's bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    tail: VecDeque<String>,
    /// The current, incomplete line, unprocessed.
    partial: Vec<u8>,
}

impl Console {
    /// Adds bytes. Calls `on_line` for each complete line, then for the incomplete one, in case it is a prompt.
    pub(super) fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = clean(&self.partial);
                self.partial.clear();
                on_line(&line);
                self.keep(line);
            } else if self.partial.len() < LINE_LIMIT {
                self.partial.push(byte);
            }
        }
        let prompt = clean(&self.partial);
        if !prompt.is_empty() {
            on_line(&prompt);
        }
    }

    fn keep(&mut self, line: String) {
        if line.is_empty() {
            return;
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// The last lines, without empty ones.
    pub(super) fn tail(&self) -> Vec<String> {
        let mut console = self.clone();
        console.keep(clean(&self.partial));
        console.tail.into()
    }
}

/// The printable text of a line.
fn clean(line: &[u8]) -> String {
    plain(&String::from_utf8_lossy(line)).trim().replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut console = Console::default();
        for piece in pieces {
            console.push(piece, &mut |line| seen.push(line.to_owned()));
        }
        seen
    }

    #[test]
    fn escape_sequences_and_carriage_returns_are_removed() {
        assert_eq!(
            lines(&[b"\x1b[1;31mWelcome to \x1b[1mDebian\x1b[0m!\r\n\x1bc\x1b[3;4Hrave: boot loader\r\n"]),
            ["Welcome to Debian!", "rave: boot loader"]
        );
    }

    #[test]
    fn a_prompt_is_detected_before_its_line_ends() {
        assert_eq!(lines(&[b"(initra", b"mfs) "]), ["(initra", "(initramfs)"]);
    }

    #[test]
    fn the_tail_is_bounded_in_lines_and_bytes() {
        let mut console = Console::default();
        for n in 0..100 {
            console.push(format!("line {n}\n\n").as_bytes(), &mut |_| {});
        }
        console.push(&vec![b'x'; 1_000_000], &mut |_| {});
        let tail = console.tail();
        assert_eq!((tail.len(), tail[0].as_str()), (TAIL_LINES, "line 71"));
        assert_eq!(tail.last().unwrap().len(), LINE_LIMIT);
    }

    proptest! {
        #[test]
        fn segmentation_makes_no_difference(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
            let mut whole = Console::default();
            whole.push(&bytes, &mut |_| {});
            let mut cut = Console::default();
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            cut.push(first, &mut |_| {});
            cut.push(second, &mut |_| {});
            prop_assert_eq!(whole.tail(), cut.tail());
            prop_assert!(whole.tail().iter().all(|line| !line.chars().any(char::is_control)));
        }
    }
}
