//! Strips terminal sequences from the texts of `nix`.

/// `text` without escape sequences (ECMA-48) and control characters other than the newline.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut characters),
            '\n' => plain.push('\n'),
            '\t' => plain.push(' '),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

fn skip_sequence(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        // CSI: parameters, then one final byte.
        Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
        // OSC: to BEL, or to ESC and a backslash.
        Some(']') => {
            while let Some(c) = characters.next() {
                if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// The name of a derivation by its path: `/nix/store/HASH-NAME.drv` is NAME.
pub(super) fn drv_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let file = file.strip_suffix(".drv").unwrap_or(file);
    // Hashes have 32 characters.
    match file.split_once('-') {
        Some((hash, name)) if hash.len() == 32 && !name.is_empty() => name,
        _ => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed_without_losing_text() {
        assert_eq!(
            plain("\u{1b}[31;1merror:\u{1b}[0m no '\u{1b}[35;1m/x\u{1b}[0m'\n\tend"),
            "error: no '/x'\n end"
        );
        assert_eq!(plain("\u{1b}]8;;uri\u{7}a\u{1b}]8;;\u{1b}\\b\u{1b}"), "ab");
        assert_eq!(plain("10%\r20%\u{8}"), "10%20%");
    }

    #[test]
    fn derivations_are_shown_by_name() {
        assert_eq!(drv_name("/nix/store/1wmggi42z9ll0y3w8c6lrqhdczscpxjl-rave-disk.drv"), "rave-disk");
        assert_eq!(drv_name("odd"), "odd");
        assert_eq!(drv_name("/x/a-b.drv"), "a-b");
    }
}
