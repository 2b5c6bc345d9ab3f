//! Quotes words for a POSIX shell.

/// `word` as it must be typed in a POSIX shell: unchanged if it is plain, otherwise in single quotes.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::shell_quote;

    #[test]
    fn only_special_characters_are_quoted() {
        assert_eq!(shell_quote("-drive=file=a.raw,format=raw"), "-drive=file=a.raw,format=raw");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("two words"), "'two words'");
        assert_eq!(shell_quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_quote("~"), "'~'");
    }
}
