//! Masks secrets in a stream of pieces of any size; the length stays the same.

use base64ct::{Base64Unpadded, Encoding as _};
use memchr::memmem::Finder;

/// Replaces each byte of a secret.
const HIDDEN: u8 = b'*';

/// A mask over a stream of bytes.
pub(crate) struct Mask {
    patterns: Vec<Pattern>,
    /// Received bytes that may be the beginning of a secret.
    held: Vec<u8>,
    /// The same bytes, masked.
    shown: Vec<u8>,
}

struct Pattern {
    bytes: Vec<u8>,
    finder: Finder<'static>,
}

impl Mask {
    /// Masks these secrets, both as they are and as part of base64, as passwords are sent (RFC 7617).
    pub(crate) fn of<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let all = secrets.flat_map(|secret| {
            let encoded = (0..3).flat_map(|offset| {
                let plain = encoded(secret, offset);
                // The alphabet for URLs (RFC 4648, section 5).
                let swap = |byte: &u8| {
                    if *byte == b'+' {
                        b'-'
                    } else if *byte == b'/' {
                        b'_'
                    } else {
                        *byte
                    }
                };
                let for_urls: Vec<u8> = plain.iter().map(swap).collect();
                let differs = for_urls != plain;
                [plain].into_iter().chain(differs.then_some(for_urls))
            });
            [secret.as_bytes().to_vec()].into_iter().chain(encoded)
        });
        let patterns = all
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| Pattern { finder: Finder::new(&bytes).into_owned(), bytes })
            .collect();
        Self { patterns, held: Vec::new(), shown: Vec::new() }
    }

    /// Takes bytes. Returns those that can be passed on.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend(bytes);
        self.shown.extend(bytes);
        for pattern in &self.patterns {
            hide(pattern, &self.held, &mut self.shown);
        }
        let end = self.held.len() - self.undecided();
        self.held.drain(..end);
        self.shown.drain(..end).collect()
    }

    /// How many bytes at the end may be the beginning of a secret. Only the lengths of the secrets and the place of the last
    /// space or line end count, which no secret contains: the guest sees where a piece ends, and could otherwise find the
    /// characters of a secret one by one, from a server that repeats its guesses.
    fn undecided(&self) -> usize {
        let longest = self.patterns.iter().map(|pattern| pattern.bytes.len()).max().unwrap_or(1);
        let last = self.held.iter().rev().take(longest - 1);
        last.take_while(|byte| byte.is_ascii_graphic()).count()
    }

    /// The rest, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.held.clear();
        std::mem::take(&mut self.shown)
    }

    /// Masks a complete text.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut shown = text.as_bytes().to_vec();
        for pattern in &self.patterns {
            hide(pattern, text.as_bytes(), &mut shown);
        }
        // Secrets are ASCII, so whole characters are replaced.
        String::from_utf8_lossy(&shown).into_owned()
    }
}

fn hide(pattern: &Pattern, bytes: &[u8], shown: &mut [u8]) {
    let mut start = 0;
    while let Some(found) = pattern.finder.find(&bytes[start..]) {
        let at = start + found;
        shown[at..at + pattern.bytes.len()].fill(HIDDEN);
        // The next match may overlap this one.
        start = at + 1;
    }
}

/// The base64 characters that a text alone determines if `offset` bytes, modulo three, precede it (RFC 4648, 4: a
/// character has six bits).
fn encoded(text: &str, offset: usize) -> Vec<u8> {
    let bytes = [&[0; 2][..offset], text.as_bytes()].concat();
    let (first, end) = ((8 * offset).div_ceil(6), 8 * bytes.len() / 6);
    Base64Unpadded::encode_string(&bytes).into_bytes()[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::Base64;

    fn masked(secrets: &[&str], text: &str, size: usize) -> String {
        let mut mask = Mask::of(secrets.iter().copied());
        let mut all: Vec<u8> = text.as_bytes().chunks(size).flat_map(|piece| mask.take(piece)).collect();
        all.extend(mask.finish());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn only_secrets_are_masked_for_any_segmentation() {
        let secrets = ["abcabcabd", "bdabcabc-long"];
        for (text, shown) in [
            ("x abcabcabd y", "x ********* y"),
            ("abcabcabcabd", "abc*********"),
            ("abcabcabdabcabc-long", "********************"),
            ("abcabcab", "abcabcab"),
            ("abcabcabx abcabcabdabcabcabd", "abcabcabx ******************"),
            ("", ""),
        ] {
            for size in 1..=text.len().max(1) {
                assert_eq!(masked(&secrets, text, size), shown, "{text} by {size}");
            }
        }
        assert_eq!(Mask::of(secrets.into_iter()).text("é abcabcabd"), "é *********");
    }

    #[test]
    fn a_password_is_masked_in_basic_pairs_with_any_user() {
        let secret = "s3cr3t-password-of-the-user";
        for user in ["", "a", "ab", "abc", "somebody"] {
            let text = format!("{user}:{secret}");
            let encoded = Base64::encode_string(text.as_bytes());
            let shown = masked(&[secret], &format!("Basic {encoded}\n"), 3);
            let hidden = shown.matches('*').count();
            // At each end, at most one character has bits of something else.
            assert!(hidden * 6 + 2 * 6 > secret.len() * 8, "{user}: {shown}");
            assert_eq!(shown.len(), encoded.len() + 7);
        }
    }

    #[test]
    fn buffered_bytes_are_few() {
        let mut mask = Mask::of(["secret-secret"].into_iter());
        assert_eq!(mask.take(b"data: {}\n\n"), b"data: {}\n\n");
        assert_eq!(mask.take(b"a secret-sec"), b"a ");
        assert_eq!(mask.take(b"ond\n"), b"secret-second\n");
    }

    #[test]
    fn buffering_does_not_depend_on_the_characters_of_a_secret() {
        let taken = |guess: &str| {
            let mut mask = Mask::of(["secret-secret"].into_iter());
            let text = guess.repeat(9);
            text.as_bytes().chunks(7).map(|piece| mask.take(piece).len()).collect::<Vec<_>>()
        };
        assert_eq!(taken("x-secret-sec"), taken("x-secret-seX"));
    }

    #[test]
    fn a_secret_is_masked_in_url_safe_base64_too() {
        let secret = "~~~???>>>-secret";
        let encoded = base64ct::Base64Url::encode_string(format!("me:{secret}").as_bytes());
        assert!(encoded.contains(['-', '_']), "{encoded}");
        let shown = masked(&[secret], &encoded, 5);
        assert!(shown.matches('*').count() * 6 + 2 * 6 > secret.len() * 8, "{shown}");
    }
}
