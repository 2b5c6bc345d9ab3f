//! Escapes a guest's text for a terminal, so that it cannot control the terminal or make a line look like a different
//! one.

use std::fmt::Write as _;

/// The text with escapes for control characters other than tab and line feed, for bytes that are not UTF-8, and for
/// characters that change the direction of text (Unicode Standard Annex 9) or are invisible.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if acts(character) {
                let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn acts(character: char) -> bool {
    let is_hidden = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            // The last of these variation selectors follows ordinary emoji.
            | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    is_hidden || (character.is_control() && !matches!(character, '\t' | '\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c0_c1_osc_and_bidirectional_characters_are_escaped() {
        for (bytes, shown) in [
            (b"a\tb\n".as_slice(), "a\tb\n"),
            (b"\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("if \u{202e}user\u{2066} \u{200b}".as_bytes(), "if \\u{202e}user\\u{2066} \\u{200b}"),
            (b"\xffx\r\n", "\\xffx\\u{d}\n"),
            ("é日本".as_bytes(), "é日本"),
            // Bytes hidden in variation selectors, as in programs of attackers.
            ("s=``\u{fe01}\u{e0120}".as_bytes(), "s=``\\u{fe01}\\u{e0120}"),
            ("\u{2764}\u{fe0f}".as_bytes(), "\u{2764}\u{fe0f}"),
        ] {
            assert_eq!(escaped(bytes), shown);
        }
    }
}
