//! JSON that is safe to show on a terminal.

use std::fmt::Write as _;

/// Escapes each character in a JSON string that a terminal interprets: control characters beyond those that JSON itself
/// forbids, and those that change the direction of text (Unicode Standard Annex 9). The value stays the same.
pub(super) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let turns = matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if turns || (character.is_control() && character != '\n') {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_unchanged_and_escaped_on_a_terminal() {
        let value = serde_json::json!({ "a": "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{7f}é\n" });
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{text:?}");
        assert!(text.contains('é'));
    }
}
