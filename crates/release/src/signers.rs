//! `allowed_signers` (ssh-keygen(1), "ALLOWED SIGNERS"): who may sign, for which purpose, and when.

use camino::Utf8Path;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use ssh_key::{Algorithm, PublicKey};

use crate::error::Error;
use crate::folder;
pub use crate::public_key::line;
use crate::public_key::{NAMESPACE, check_principal, fingerprint};

/// Maximum size of the file, bytes.
const LIMIT: u64 = 256 << 10;

/// An allowed signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The name, as in `ssh-keygen -Y verify -I NAME`.
    pub principal: String,
    /// The key.
    pub key: PublicKey,
    /// The allowed purposes of signatures; any if it is none.
    pub(crate) namespaces: Option<Vec<String>>,
    /// Start and end of the key's validity, seconds since 1970.
    pub(crate) valid: (Option<i64>, Option<i64>),
}

impl Signer {
    /// A signer without time limits.
    pub fn new(principal: &str, key: PublicKey) -> Self {
        Self { principal: principal.to_owned(), key, namespaces: None, valid: (None, None) }
    }

    /// The same without time limits: a successor has its own.
    #[must_use]
    pub(crate) fn without_times(self) -> Self {
        Self { valid: (None, None), ..self }
    }

    /// `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key)
    }

    /// Refuses a key that may not sign releases at all, or not at this time (seconds since 1970).
    pub fn may_sign(&self, now: i64) -> Result<(), String> {
        if self.namespaces.as_ref().is_some_and(|names| !names.iter().any(|name| name == NAMESPACE)) {
            return Err(format!("the key of {} may not sign releases (namespaces)", self.principal));
        }
        match self.valid {
            (Some(after), _) if now < after => Err(format!("the key of {} is not valid yet", self.principal)),
            (_, Some(before)) if now >= before => Err(format!("the key of {} has expired", self.principal)),
            _ => Ok(()),
        }
    }
}

/// Reads the file; at least one key must be in it.
pub fn read(path: &Utf8Path) -> Result<Vec<Signer>, Error> {
    of_file(path, &read_text(path)?)
}

/// Reads the text of the file; at least one key must be in it.
pub fn of_file(path: &Utf8Path, text: &str) -> Result<Vec<Signer>, Error> {
    parse(text).map_err(|detail| Error::Key {
        path: path.to_owned(),
        detail,
        remedy: "give the NAME.allowed_signers that `cargo xtask release keygen` wrote beside the key",
    })
}

/// The text of the file, of at most [`LIMIT`] bytes.
pub fn read_text(path: &Utf8Path) -> Result<String, Error> {
    String::from_utf8(folder::read_named(path, LIMIT)?).map_err(|error| Error::damaged(path, error))
}

/// Reads the text; at least one key must be in it.
pub fn parse(text: &str) -> Result<Vec<Signer>, String> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let signers = lines
        .map(|(number, line)| signer(line).map_err(|why| format!("line {number}: {why}")))
        .collect::<Result<Vec<_>, _>>()?;
    if signers.is_empty() { Err("it has no key".into()) } else { Ok(signers) }
}

fn signer(line: &str) -> Result<Signer, String> {
    if line.starts_with("ssh-") {
        return Err("a public key without the name of its signer in front".into());
    }
    let fields = fields(line)?;
    let (principal, options, key) = match fields.as_slice() {
        [principal, kind, key, ..] if kind.starts_with("ssh-") => (principal, None, [kind, key]),
        [principal, options, kind, key, ..] => (principal, Some(options), [kind, key]),
        _ => return Err("expected: NAME [OPTIONS] ssh-ed25519 KEY".into()),
    };
    check_principal(principal)?;
    let text = format!("{} {}", key[0], key[1]);
    let key = PublicKey::from_openssh(&text).map_err(|error| format!("the key: {error}"))?;
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(format!("a key of {}: only ssh-ed25519 is taken", key.algorithm()));
    }
    let mut signer = Signer::new(principal, key);
    for option in options.map(|options| split(options)).unwrap_or_default() {
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        let value = value.trim_matches('"');
        match name {
            "namespaces" => signer.namespaces = Some(value.split(',').map(str::to_owned).collect()),
            "valid-after" => signer.valid.0 = Some(time(value)?),
            "valid-before" => signer.valid.1 = Some(time(value)?),
            // Certificates are not supported: this file does not say whom they authorise.
            _ => return Err(format!("the option {name:?} is not supported")),
        }
    }
    Ok(signer)
}

/// Splits words at blanks outside quotes.
fn fields(line: &str) -> Result<Vec<String>, String> {
    pieces(line, |byte| byte == ' ' || byte == '\t').ok_or_else(|| "a quote is not closed".into())
}

/// Splits options at commas outside quotes.
fn split(options: &str) -> Vec<String> {
    pieces(options, |byte| byte == ',').unwrap_or_default()
}

fn pieces(text: &str, parts: impl Fn(char) -> bool) -> Option<Vec<String>> {
    let mut is_quoted = false;
    let mut pieces = vec![String::new()];
    for letter in text.chars() {
        is_quoted ^= letter == '"';
        if !is_quoted && parts(letter) {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push(letter);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    (!is_quoted).then_some(pieces)
}

/// `YYYYMMDD[HHMM[SS]][Z]` as seconds since 1970, in UTC with and without the `Z`: the same for every receiver.
fn time(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a time: expected YYYYMMDD or YYYYMMDDHHMMSS");
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return Err(wrong());
    }
    let (day, clock) = digits.split_at(8);
    let day = NaiveDate::parse_from_str(day, "%Y%m%d").map_err(|_| wrong())?;
    let clock = NaiveTime::parse_from_str(&format!("{clock:0<6}"), "%H%M%S").map_err(|_| wrong())?;
    Ok(NaiveDateTime::new(day, clock).and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;

    fn key() -> String {
        let key = SigningKey::in_memory("").unwrap();
        PublicKey::from(key.public().key_data().clone()).to_openssh().unwrap().trim_end().to_owned()
    }

    #[test]
    fn names_purposes_and_times_are_parsed() {
        let key = key();
        let text = format!(
            "# ours\n\nme@example.org {key} a comment\n\
             old namespaces=\"git,rave-release\",valid-after=\"20260101\",valid-before=\"202602011200Z\" {key}\n\
             git namespaces=\"git\" {key}\n"
        );
        let signers = parse(&text).unwrap();
        assert_eq!(signers[0].principal, "me@example.org");
        signers[0].may_sign(0).unwrap();
        let january = 1_767_225_600;
        let [_, old, git] = signers.as_slice() else { panic!("three") };
        assert!(old.may_sign(january - 1).unwrap_err().ends_with("is not valid yet"));
        old.may_sign(january).unwrap();
        old.may_sign(january + 31 * 86_400 + 43_199).unwrap();
        assert!(old.may_sign(january + 31 * 86_400 + 43_200).unwrap_err().ends_with("has expired"));
        assert!(git.may_sign(january).is_err());
    }

    #[test]
    fn unsupported_options_are_refused() {
        let key = key();
        for (text, why) in [
            (String::new(), "no key"),
            (key.clone(), "without the name"),
            (format!("me cert-authority {key}"), "not supported"),
            (format!("* {key}"), "not a name"),
            (format!("me valid-before=\"tomorrow\" {key}"), "not a time"),
            (format!("me namespaces=\"git {key}"), "not closed"),
            ("me ssh-ed25519 AAAA".into(), "the key"),
            ("me".into(), "expected"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_line_round_trips() {
        let key = SigningKey::in_memory("x").unwrap();
        let signers = parse(&line("me", key.public())).unwrap();
        assert_eq!(
            (signers[0].principal.as_str(), signers[0].key.key_data()),
            ("me", key.public().key_data())
        );
    }
}
