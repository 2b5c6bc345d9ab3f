//! Checks of texts that have no type of their own.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::{Compression, InvalidValue};

/// Unit types that are files and can be enabled: systemd.unit(5) without `device` and `scope`.
pub const UNIT_SUFFIXES: &[&str] =
    &["service", "socket", "timer", "path", "target", "mount", "automount", "swap", "slice"];

/// chpasswd(8) reads lines of `name:password`. The message does not repeat the password.
pub(crate) fn password(text: &str) -> Result<(), InvalidValue> {
    const EXPECTED: &str = "at least one character, no colon and no control character";
    let bad = text.chars().find(|c| *c == ':' || c.is_control());
    match bad {
        Some(bad) => Err(InvalidValue::new(format!("the password contains {bad:?}"), EXPECTED)),
        None if text.is_empty() => Err(InvalidValue::new("the password is empty", EXPECTED)),
        None => Ok(()),
    }
}

pub(crate) fn one_line(text: &str) -> Result<(), InvalidValue> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(InvalidValue::new(format!("{text:?} is not a line of text"), "a line of text"));
    }
    Ok(())
}

/// A raw disk is compressed as a whole file, for which only zstd is supported.
pub(crate) fn raw_compression(compression: Compression) -> Result<Compression, InvalidValue> {
    match compression {
        Compression::None | Compression::Zstd => Ok(compression),
        Compression::Zlib => Err(InvalidValue::new("a raw disk is not compressed by zlib", "none or zstd")),
    }
}

/// The kinds of keys that sshd accepts (`ssh -Q key`, without certificates).
pub const KEY_KINDS: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A public key as in a file such as `id_ed25519.pub`: kind, key in base64, and an optional comment.
pub(crate) fn public_key(text: &str) -> Result<String, InvalidValue> {
    const EXPECTED: &str = "the line of a file such as ~/.ssh/id_ed25519.pub";
    let line = text.trim();
    if line.contains("PRIVATE KEY") {
        return Err(InvalidValue::new("this is a private key", EXPECTED));
    }
    let mut words = line.split(' ');
    let kind = words.next().is_some_and(|kind| KEY_KINDS.contains(&kind));
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    // The shortest, for ed25519, has 68 characters (RFC 8709, section 4).
    let key = words.next().is_some_and(|key| key.len() >= 68 && key.chars().all(base64));
    if !kind || !key || line.chars().any(char::is_control) {
        return Err(InvalidValue::new("this is not an SSH public key", EXPECTED));
    }
    Ok(line.to_owned())
}

/// Extensions of PEM files with certificates (RFC 7468).
pub const CERTIFICATE_SUFFIXES: &[&str] = &["pem", "crt", "cer"];

/// A path of a file with certificates, below the folder of `rave.toml`.
pub(crate) fn certificate_path(text: &str) -> Result<Utf8PathBuf, InvalidValue> {
    let path = below(text)?;
    let named_well = path.extension().is_some_and(|suffix| CERTIFICATE_SUFFIXES.contains(&suffix));
    if !named_well || text.ends_with('/') {
        return Err(InvalidValue::new(
            format!("{text:?} does not name a file of certificates"),
            "a file in PEM whose name ends in .pem, .crt or .cer",
        ));
    }
    Ok(path.to_owned())
}

/// A path that stays below the folder of `rave.toml`.
fn below(text: &str) -> Result<&Utf8Path, InvalidValue> {
    let path = Utf8Path::new(text);
    let below = path.components().all(|part| matches!(part, Utf8Component::Normal(_)));
    if !below || text.chars().any(char::is_control) {
        return Err(InvalidValue::new(
            format!("{text:?} is outside the folder of rave.toml"),
            "a relative path without ..",
        ));
    }
    Ok(path)
}

/// A path of a unit that can be installed and enabled, below the folder of `rave.toml`.
pub(crate) fn unit_path(text: &str) -> Result<Utf8PathBuf, InvalidValue> {
    let path = below(text)?;
    // Characters and length of unit names: systemd.unit(5).
    let name = path.file_name().unwrap_or_default();
    let named_well = name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@'));
    let suffix = path.extension().is_some_and(|suffix| UNIT_SUFFIXES.contains(&suffix));
    if !named_well || !suffix || text.ends_with('/') {
        let suffixes = UNIT_SUFFIXES.iter().map(|suffix| format!(".{suffix}")).collect::<Vec<_>>();
        let suffixes: Vec<_> = suffixes.iter().map(String::as_str).collect();
        return Err(InvalidValue::new(
            format!("{text:?} does not name a systemd unit"),
            format!(
                "a file name of letters, digits and :-_.\\@ that ends in {}",
                crate::invalid_value::one_of(&suffixes)
            ),
        ));
    }
    Ok(path.to_owned())
}

/// `NAME=value` with a POSIX name (Base Definitions, 8.1) and a value of one line.
pub(crate) fn environment(text: &str) -> Result<(String, String), InvalidValue> {
    const EXPECTED: &str = "\"NAME=value\"";
    let Some((name, value)) = text.split_once('=') else {
        return Err(InvalidValue::new(format!("{text:?} has no ="), EXPECTED));
    };
    let name_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !name_fits {
        return Err(InvalidValue::new(
            format!("{name:?} is not a variable name"),
            "letters, digits and _, the first not a digit",
        ));
    }
    if let Some(bad) = value.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(InvalidValue::new(
            format!("the value of {name} contains {bad:?}"),
            "a value of one line",
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_below_the_folder_are_accepted() {
        for path in ["agent.service", "units/agent@.timer", "a/b/c:d.mount"] {
            assert_eq!(unit_path(path).unwrap(), path);
        }
    }

    #[test]
    fn paths_outside_the_folder_and_non_units_are_refused() {
        for path in
            ["", "/", ".", "./a.service", "../a.service", "a/../b.service", "a.service/", "a.service\n", "a"]
        {
            assert!(unit_path(path).is_err(), "{path:?}");
        }
        assert!(unit_path(&format!("{}.service", "a".repeat(247))).is_ok());
        assert!(unit_path(&format!("{}.service", "a".repeat(248))).is_err());
    }

    #[test]
    fn certificates_are_pem_files_below_the_folder() {
        for path in ["corp-ca.pem", "certs/a b.crt", "a.cer"] {
            assert_eq!(certificate_path(path).unwrap(), path);
        }
        for path in ["", "/etc/ca.pem", "../ca.pem", "ca.key", "ca", ".pem", "a.pem/", "a\n.pem"] {
            assert!(certificate_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn only_single_line_public_keys_are_accepted() {
        let key = format!("ssh-ed25519 {}", "A".repeat(68));
        assert_eq!(public_key(&format!("{key} me@home\n")), Ok(format!("{key} me@home")));
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn";
        assert_eq!(public_key(private).unwrap_err().what, "this is a private key");
        for text in
            ["", "ssh-ed25519", "ssh-ed25519 short", &key.replace("ssh-", "x-"), &format!("{key}\n{key}")]
        {
            assert!(public_key(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_variable_may_have_any_single_line_value() {
        assert_eq!(environment("A=b=\"c\"\t$d"), Ok(("A".to_owned(), "b=\"c\"\t$d".to_owned())));
        assert_eq!(environment("_A9="), Ok(("_A9".to_owned(), String::new())));
        for entry in ["", "A", "=b", "A B=c", "Ä=c", "A=\u{0}", "A=b\r"] {
            assert!(environment(entry).is_err(), "{entry:?}");
        }
    }
}
