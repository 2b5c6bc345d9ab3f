//! The forms of secrets: how each starts, and what must follow.

use super::finding::Rule;

/// How many bytes after the start of a secret are examined at most.
pub(super) const AHEAD: usize = 1024;

/// What must follow the start.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tail {
    /// At least this many bytes of a class.
    AtLeast(usize, Class),
    /// Exactly this many, not followed by a letter or digit.
    Exactly(usize, Class),
    /// A PEM label, a line end and Base64.
    Pem,
    /// A value after `=` or `:`.
    Value,
}

/// The characters of a secret.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    Word,
    WordAndDash,
    Upper,
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::WordAndDash => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        }
    }
}

/// A kind of secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secret {
    pub(super) rule: Rule,
    pub(super) start: &'static str,
    pub(super) tail: Tail,
}

const fn token(start: &'static str, tail: Tail) -> Secret {
    Secret { rule: Rule::Token, start, tail }
}

/// The kinds of secrets. The forms of tokens are those that the services document for scanners.
pub(super) const SECRETS: &[Secret] = &[
    Secret { rule: Rule::PrivateKey, start: "-----BEGIN ", tail: Tail::Pem },
    Secret { rule: Rule::PrivateKey, start: "---- BEGIN ", tail: Tail::Pem },
    // The last line of a key of PuTTY (its manual, appendix C).
    Secret { rule: Rule::PrivateKey, start: "Private-MAC: ", tail: Tail::AtLeast(40, Class::Word) },
    Secret { rule: Rule::PrivateKey, start: "AGE-SECRET-KEY-1", tail: Tail::AtLeast(50, Class::Upper) },
    token("ghp_", Tail::AtLeast(36, Class::Word)),
    token("gho_", Tail::AtLeast(36, Class::Word)),
    token("ghu_", Tail::AtLeast(36, Class::Word)),
    token("ghs_", Tail::AtLeast(36, Class::Word)),
    token("ghr_", Tail::AtLeast(36, Class::Word)),
    token("github_pat_", Tail::AtLeast(22, Class::Word)),
    token("glpat-", Tail::AtLeast(20, Class::WordAndDash)),
    token("sk-ant-", Tail::AtLeast(24, Class::WordAndDash)),
    token("sk-proj-", Tail::AtLeast(24, Class::WordAndDash)),
    token("sk-svcacct-", Tail::AtLeast(24, Class::WordAndDash)),
    token("sk-or-v1-", Tail::AtLeast(40, Class::Word)),
    token("npm_", Tail::Exactly(36, Class::Word)),
    token("hf_", Tail::AtLeast(34, Class::Word)),
    token("xoxb-", Tail::AtLeast(20, Class::WordAndDash)),
    token("xoxp-", Tail::AtLeast(20, Class::WordAndDash)),
    token("xoxa-", Tail::AtLeast(20, Class::WordAndDash)),
    token("xoxr-", Tail::AtLeast(20, Class::WordAndDash)),
    token("xapp-", Tail::AtLeast(20, Class::WordAndDash)),
    token("sk_live_", Tail::AtLeast(24, Class::Word)),
    token("rk_live_", Tail::AtLeast(24, Class::Word)),
    token("tskey-", Tail::AtLeast(20, Class::WordAndDash)),
    token("AKIA", Tail::Exactly(16, Class::Upper)),
    token("ASIA", Tail::Exactly(16, Class::Upper)),
    token("AIza", Tail::Exactly(35, Class::WordAndDash)),
    token("pypi-AgEIcHlwaS5vcmc", Tail::AtLeast(50, Class::WordAndDash)),
    token("dckr_pat_", Tail::AtLeast(20, Class::WordAndDash)),
    Secret { rule: Rule::Credential, start: "_authToken", tail: Tail::Value },
    Secret { rule: Rule::Credential, start: "aws_secret_access_key", tail: Tail::Value },
    // As variables of an environment.
    Secret { rule: Rule::Credential, start: "AWS_SECRET_ACCESS_KEY", tail: Tail::Value },
];

/// The minimum number of different bytes in a token: examples in documentation repeat one letter.
const DIFFERENT: usize = 10;

/// The minimum length of Base64 after a PEM label: programs that read keys contain only the label.
const BASE64: usize = 40;

/// How many bytes of a key, lines and all, distinguish it from others: the first line of an OpenSSH key is the same in
/// each.
const TELLING: usize = 160;

/// The secret itself, if `bytes` start with one; `before` is the preceding byte.
pub(super) fn secret<'a>(kind: &Secret, before: Option<u8>, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let rest = &bytes[kind.start.len()..];
    match kind.tail {
        Tail::Pem => pem(rest),
        _ if before.is_some_and(|byte| byte.is_ascii_alphanumeric()) => None,
        Tail::AtLeast(least, class) => {
            let run = run(rest, class).filter(|run| run.len() >= least && is_mixed(&run[..least]))?;
            Some(&run[..least])
        }
        Tail::Exactly(length, class) => {
            let run = run(rest, class).filter(|run| run.len() == length && is_mixed(run))?;
            let ends = rest.get(length).is_none_or(|byte| !byte.is_ascii_alphanumeric());
            ends.then_some(run)
        }
        Tail::Value => value(rest),
    }
}

fn run(bytes: &[u8], class: Class) -> Option<&[u8]> {
    let length = bytes.iter().position(|byte| !class.has(*byte)).unwrap_or(bytes.len());
    bytes.get(..length)
}

fn is_mixed(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    has_digit && seen.iter().filter(|seen| **seen).count() >= DIFFERENT
}

/// RFC 7468, RFC 1421 (header lines before the Base64), RFC 4880 (`BLOCK`), RFC 4716 (four dashes and a space).
fn pem(rest: &[u8]) -> Option<&[u8]> {
    let label = rest.get(..40).unwrap_or(rest);
    let end = label.windows(4).position(|dashes| dashes == b"----")?;
    let label = std::str::from_utf8(&label[..end]).ok()?.trim_end();
    if !label.ends_with("PRIVATE KEY") && !label.ends_with("PRIVATE KEY BLOCK") {
        return None;
    }
    let dashes = rest[end..].iter().take_while(|byte| **byte == b'-').count();
    let mut body = &rest[end + dashes..];
    for _ in 0..8 {
        body = behind_line_end(body);
        let line = body.iter().position(|byte| b"\r\n\\".contains(byte)).unwrap_or(body.len());
        let is_header = body[..line].contains(&b':') || line == 0;
        if !is_header {
            break;
        }
        body = &body[line..];
    }
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let length = body.iter().take_while(|byte| base64(byte)).count();
    // Lines as in `behind_line_end`. Whatever follows the key, on the disk or in its file, is not part of it.
    let within = |byte: &u8| base64(byte) || b"\n\r \t\"',\\".contains(byte);
    let end = body.iter().take(TELLING).take_while(|byte| within(byte)).count();
    (length >= BASE64 && is_mixed(&body[..BASE64])).then(|| &body[..end])
}

/// Skips a line end, literal or as in a program's string: `\n`, `\r\n`, `\\n`, `" +`, indentation.
fn behind_line_end(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    for _ in 0..64 {
        rest = match rest {
            [b'\\', b'n' | b'r', after @ ..]
            | [b'\n' | b'\r' | b' ' | b'\t' | b'"' | b'\'' | b',' | b'+' | b'\\', after @ ..] => after,
            _ => break,
        };
    }
    rest
}

/// The minimum length of a value: shorter ones are examples.
const VALUE: usize = 16;

/// `= value`, `: "value"`; not a variable or an expression.
fn value(rest: &[u8]) -> Option<&[u8]> {
    let at = rest.iter().take(4).position(|byte| b"=:".contains(byte))?;
    if !rest[..at].iter().all(|byte| b" \t\"'".contains(byte)) {
        return None;
    }
    let rest = &rest[at + 1..];
    let start = rest.iter().position(|byte| !b" \t\"'".contains(byte))?;
    let rest = &rest[start..];
    let class = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let length = rest.iter().take_while(|byte| class(byte)).count();
    (length >= VALUE && is_mixed(&rest[..VALUE])).then(|| &rest[..VALUE])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_secret(text: &str) -> bool {
        SECRETS.iter().any(|kind| {
            text.match_indices(kind.start).any(|(at, _)| {
                let before = at.checked_sub(1).map(|at| text.as_bytes()[at]);
                secret(kind, before, &text.as_bytes()[at..]).is_some()
            })
        })
    }

    /// Generated, so that no scanner reports this file.
    fn letters(length: usize) -> String {
        "a1B2c3D4e5F6g7H8i9J0kLmNoPqRsTuVwXyZ".chars().cycle().take(length).collect()
    }

    #[test]
    fn every_kind_of_secret_is_detected() {
        for kind in SECRETS {
            let upper = letters(60).to_uppercase();
            let text = match kind.tail {
                Tail::Pem => format!("{}RSA PRIVATE KEY-----\n{}\n", kind.start, letters(64)),
                Tail::Value => format!("{}: {}", kind.start, letters(40)),
                Tail::AtLeast(least, Class::Upper) | Tail::Exactly(least, Class::Upper) => {
                    format!("{}{}\n", kind.start, &upper[..least])
                }
                Tail::AtLeast(least, _) | Tail::Exactly(least, _) => {
                    format!("{}{} ", kind.start, letters(least))
                }
            };
            assert!(is_secret(&text), "{text}");
        }
    }

    #[test]
    fn a_key_is_detected_in_every_encoding() {
        let body = letters(64);
        for text in [
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\r\n{body}"),
            format!("-----BEGIN PRIVATE KEY-----\\n{body}"),
            format!("\"-----BEGIN EC PRIVATE KEY-----\\n\" +\n    \"{body}"),
            format!(
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{body}"
            ),
            format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{body}"),
        ] {
            assert!(is_secret(&text), "{text}");
        }
    }

    #[test]
    fn two_keys_with_the_same_first_line_are_two_secrets() {
        let kind = SECRETS.first().unwrap();
        let key = |second: &str| {
            let text =
                format!("-----BEGIN {} KEY-----\n{}\n{second}\n-----END", "OPENSSH PRIVATE", letters(70));
            secret(kind, None, text.as_bytes()).map(<[u8]>::to_vec).unwrap()
        };
        assert_ne!(key("Aa"), key("Bb"));
        assert_eq!(key("Aa").len(), 70 + 1 + 2 + 1);
        let beside = |after: &str| {
            let text = format!("-----BEGIN {} KEY-----\n{}\n{after}", "OPENSSH PRIVATE", letters(70));
            secret(kind, None, text.as_bytes()).map(<[u8]>::to_vec).unwrap()
        };
        // On a disk, zeros follow the file.
        assert_eq!(beside(""), beside(&"\0".repeat(200)));
    }

    #[test]
    fn labels_alone_public_parts_and_placeholders_are_none() {
        let body = letters(64);
        for text in [
            "-----BEGIN OPENSSH PRIVATE KEY-----\n\0-----END OPENSSH".to_owned(),
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".into(),
            format!("-----BEGIN PRIVATE KEY-----\n{}", "A".repeat(64)),
            format!("-----BEGIN CERTIFICATE-----\n{body}"),
            format!("-----BEGIN PUBLIC KEY-----\n{body}"),
            format!("ghp_{}", "x".repeat(36)),
            format!("ghp_{}", letters(20)),
            format!("anghp_{}", letters(36)),
            format!("AKIA{}", letters(20).to_uppercase()),
            "//registry/:_authToken=${NPM_TOKEN}".into(),
            "_authToken".into(),
            "_authToken: 'deadbeefcafebad'".into(),
            "{secret:e.aws_secret_access_key,sessionToken:e.aws_session_token0123456789}".into(),
        ] {
            assert!(!is_secret(&text), "{text}");
        }
    }
}
