//! Text from a guest as plain text: a console's output without terminal control codes.

use std::iter::Peekable;
use std::str::Chars;

/// The text of a console's output as lines. Escape sequences of ECMA-48 and control characters are removed, and so are
/// the characters that change the direction of the text around them (Unicode Standard Annex 9), which can make a line
/// read like another one. A carriage return that does not end a line, and a cursor movement, start a new line. Repeated
/// empty lines, and spaces at the end of lines, are removed.
pub fn plain(text: &str) -> String {
    let mut lines = Lines::default();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' => lines.end(),
            '\r' if !matches!(characters.peek(), Some('\n' | '\r')) => lines.end_if_begun(),
            '\u{1b}' => match characters.next_if(|next| !next.is_control()) {
                Some('[') => control_sequence(&mut characters, &mut lines),
                Some(']' | 'P' | 'X' | '^' | '_') => control_string(&mut characters),
                Some('\u{20}'..='\u{2f}') => skip_intermediates(&mut characters),
                _ => {}
            },
            '\u{9b}' => control_sequence(&mut characters, &mut lines),
            '\t' => lines.current.push('\t'),
            unseen if unseen.is_control() || turns_direction(unseen) => {}
            other => lines.current.push(other),
        }
    }
    lines.end_if_begun();
    lines.done
}

#[derive(Default)]
struct Lines {
    done: String,
    current: String,
}

impl Lines {
    fn end(&mut self) {
        let line = self.current.trim_end();
        let doubles_an_empty_one = line.is_empty() && (self.done.is_empty() || self.done.ends_with("\n\n"));
        if !doubles_an_empty_one {
            self.done.push_str(line);
            self.done.push('\n');
        }
        self.current.clear();
    }

    fn end_if_begun(&mut self) {
        if !self.current.trim_end().is_empty() {
            self.end();
        }
        self.current.clear();
    }
}

/// Skips the rest of a control sequence (ECMA-48, 5.4): parameters and intermediates 0x20 to 0x3f, a final byte 0x40 to
/// 0x7e. Anything else aborts the sequence, so that a malformed one hides no text.
fn control_sequence(characters: &mut Peekable<Chars<'_>>, lines: &mut Lines) {
    while characters.next_if(|next| ('\u{20}'..='\u{3f}').contains(next)).is_some() {}
    // CUP and HVP, the absolute cursor movements.
    if let Some('H' | 'f') = characters.next_if(|next| ('\u{40}'..='\u{7e}').contains(next)) {
        lines.end_if_begun();
    }
}

/// Skips the rest of a control string (ECMA-48, 5.6), such as a window title, up to its terminator: ST, or BEL, which
/// xterm also accepts. It never extends past the end of the line, so an unterminated string hides no more than its
/// line.
fn control_string(characters: &mut Peekable<Chars<'_>>) {
    while let Some(character) = characters.next_if(|next| *next != '\n') {
        match character {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                characters.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Skips the rest of a sequence with intermediates (ECMA-48, 5.3), such as one that selects a character set.
fn skip_intermediates(characters: &mut Peekable<Chars<'_>>) {
    while characters.next_if(|next| ('\u{20}'..='\u{2f}').contains(next)).is_some() {}
    characters.next_if(|next| ('\u{30}'..='\u{7e}').contains(next));
}

/// Marks, embeddings, overrides and isolates of direction.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_sequences_are_removed() {
        for (text, expected) in [
            ("\u{1b}[H\u{1b}[J\u{1b}[1;1Hrave: boot loader\r\n", "rave: boot loader\n"),
            (
                "[\u{1b}[0;32m  OK  \u{1b}[0m] Started \u{1b}[0;1;39mssh\u{1b}[0m\r\r\n",
                "[  OK  ] Started ssh\n",
            ),
            ("\u{1b}]0;agent@rave: ~\u{7}$ \u{1b}(B\u{1b}[?2004hls\r\n", "$ ls\n"),
            ("\u{1b}P1$r0m\u{1b}\\a\u{9b}31mb\u{0}\u{8}\u{7f}c", "abc\n"),
            ("one\r two\rthree\n\n\n\n\tfour   \n", "one\n two\nthree\n\n\tfour\n"),
            ("a\u{1b}[5;1Hb", "a\nb\n"),
            ("user\u{202e}txt.exe\u{2066}", "usertxt.exe\n"),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_broken_sequence_hides_at_most_its_line() {
        for (text, expected) in [
            ("\u{1b}]0;no end\nafter", "after\n"),
            ("\u{1b}[12\nafter", "after\n"),
            ("\u{1b}\nafter", "after\n"),
            ("before\u{1b}", "before\n"),
            ("\u{1b}[\u{1b}[31mred", "red\n"),
        ] {
            assert_eq!(plain(text).trim_start_matches('\n'), expected, "{text:?}");
        }
    }
}
