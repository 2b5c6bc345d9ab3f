//! Finds files that look like secrets, according to a list of rules that a user can extend.

use crate::error::Error;
use crate::pattern::{Pattern, fault, lines};

/// RAVE's list.
const SHIPPED: &str = include_str!("../data/secrets.txt");

/// How far into a file texts are searched, in bytes.
pub const HEAD: usize = 64 * 1024;

/// The smallest number of different bytes after a text: examples in documentation repeat one letter.
const DIFFERENT: usize = 10;

/// The rules.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// In the order of the list; without a reason for paths that are copied.
    names: Vec<(Pattern, Option<String>)>,
    texts: Vec<Text>,
}

#[derive(Debug, Clone)]
struct Text {
    begins: Vec<u8>,
    tail: usize,
    why: String,
}

impl Secrets {
    /// RAVE's list, and a user's own: its path and its text.
    pub fn new(own: Option<(&str, &str)>) -> Result<Self, Error> {
        let mut rules = Self { names: Vec::new(), texts: Vec::new() };
        rules.add("secrets.txt of RAVE", SHIPPED)?;
        if let Some((path, text)) = own {
            rules.add(path, text)?;
        }
        Ok(rules)
    }

    fn add(&mut self, path: &str, text: &str) -> Result<(), Error> {
        for (number, pattern_text, why) in lines(text) {
            let why = if why.is_empty() { "looks like a secret" } else { why };
            if let Some(pattern) = pattern_text.strip_prefix('!') {
                self.names.push((Pattern::new(pattern), None));
            } else if let Some(rule) = text_rule(text, number) {
                let (text, tail, why) = rule.map_err(|why| fault(path, number, why))?;
                self.texts.push(Text { begins: text.into(), tail, why: why.to_owned() });
            } else {
                self.names.push((Pattern::new(pattern_text), Some(why.to_owned())));
            }
        }
        Ok(())
    }

    /// Why a path looks like a secret.
    pub fn of_path(&self, path: &[u8]) -> Option<&str> {
        let last = self.names.iter().rev().find(|(pattern, _)| pattern.matches(path));
        last.and_then(|(_, why)| why.as_deref())
    }

    /// Why a file's first bytes look like a secret.
    pub fn of_content(&self, bytes: &[u8]) -> Option<&str> {
        let head = &bytes[..bytes.len().min(HEAD)];
        let rule = self.texts.iter().find(|rule| contains(head, rule));
        rule.map(|rule| rule.why.as_str())
    }
}

/// Parses `=TEXT+NUMBER why`, where the text may contain spaces.
fn text_rule(list: &str, number: usize) -> Option<Result<(&str, usize, &str), &'static str>> {
    let line = list.lines().nth(number - 1)?.trim().strip_prefix('=')?;
    let rule = || {
        let (text, rest) = line.rsplit_once('+')?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let tail = rest[..digits].parse().ok()?;
        let why = rest[digits..].trim();
        (!text.is_empty()).then_some((text, tail, if why.is_empty() { "looks like a secret" } else { why }))
    };
    Some(rule().ok_or("expected =TEXT+NUMBER, and why"))
}

fn contains(bytes: &[u8], rule: &Text) -> bool {
    let mut from = 0;
    while let Some(at) = find(&bytes[from..], &rule.begins) {
        from += at + rule.begins.len();
        if has_tail(&bytes[from..], rule.tail) {
            return true;
        }
    }
    false
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut from = 0;
    loop {
        from += bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if bytes[from..].starts_with(text) {
            return Some(from);
        }
        from += 1;
    }
}

/// Whether this many bytes of a secret follow, after optional line ends (also escaped ones), quotes and spaces.
fn has_tail(mut bytes: &[u8], length: usize) -> bool {
    loop {
        bytes = match bytes {
            [b'\\', b'n' | b'r', rest @ ..]
            | [b'\n' | b'\r' | b' ' | b'\t' | b'"' | b'\'' | b'=' | b':', rest @ ..] => rest,
            _ => break,
        }
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+/=".contains(byte);
    let tail: Vec<u8> = bytes.iter().copied().take_while(is_part).take(length).collect();
    let mut different = tail.clone();
    different.sort_unstable();
    different.dedup();
    tail.len() == length && different.len() >= DIFFERENT.min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(own: &str) -> Secrets {
        Secrets::new(Some(("own", own))).unwrap()
    }

    #[test]
    fn secret_file_names_are_recognised_and_examples_are_not() {
        let rules = rules("");
        for path in [
            ".env",
            "a/.env.local",
            "deploy/prod.env",
            "id_ed25519",
            "x/.ssh/config",
            "tls/server.KEY",
            ".config/gcloud/x",
            ".cargo/credentials.toml",
            ".bash_history",
            "app/.dev.vars",
            ".codex/auth.json",
        ] {
            assert!(rules.of_path(path.as_bytes()).is_some(), "{path}");
        }
        for path in
            [".env.example", "src/environment.rs", "keys.rs", "docs/env.md", "id_ed25519.pub", ".envrc"]
        {
            assert_eq!(rules.of_path(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn users_can_add_and_remove_patterns() {
        let rules = rules("*.tok mine\n!*.key\n=my_+4 our token\n");
        assert_eq!(rules.of_path(b"a.tok"), Some("mine"));
        assert_eq!(rules.of_path(b"a.key"), None);
        assert_eq!(rules.of_content(b"x my_abcd"), Some("our token"));
        let error = Secrets::new(Some(("own", "\n=my_ token"))).unwrap_err();
        assert_eq!(error.to_string(), "own, line 2: expected =TEXT+NUMBER, and why");
    }

    #[test]
    fn keys_and_tokens_are_detected_by_content() {
        let rules = rules("");
        let key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ";
        for text in [
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{key}\n"),
            format!("const KEY: &str = \"-----BEGIN PRIVATE KEY-----\\n{key}\";"),
            format!("token: ghp_{key}"),
            format!("[Interface]\nPrivateKey = {}=\n", &key[..43]),
            format!("npmAuthToken: \"{key}\""),
            format!("curl https://hooks.slack.com/services/{key}"),
        ] {
            assert!(rules.of_content(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "-----BEGIN PRIVATE KEY-----\n...".to_owned(),
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
            "ghp_".to_owned(),
            "let key = PrivateKey::from_bytes(b\"secret\");".to_owned(),
            "hvs.example".to_owned(),
        ] {
            assert_eq!(rules.of_content(text.as_bytes()), None, "{text}");
        }
    }
}
