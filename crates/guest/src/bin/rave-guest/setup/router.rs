//! Claude Code Router's configuration, and its API key for the gateway.

use crate::error::Error;
use crate::files::{self, Ids, failed};
use crate::provide;
use crate::system::random;
use rave_guest::channel::provision::{MODEL_TOKEN, MODEL_URL};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Creates the configuration if it is missing, with a random key. Returns the key in effect, or an empty one.
///
/// The host reaches the router from outside of loopback, where it only listens with a key. It only asks for the key
/// once a provider is configured (observed in 2.0.0); until then anybody can read and change its whole configuration,
/// including any web site in a browser on the host. So the configuration has a provider from the start, for the user to
/// complete.
pub(super) fn configure(home: &Path, port: u16, ids: Ids) -> Result<String, Error> {
    let folder = home.join(".claude-code-router");
    files::directory(&folder, 0o700, Some(ids))?;
    let path = folder.join("config.json");
    if path.symlink_metadata().is_err() {
        let text = first_configuration(port, &random_key()?, &provider());
        files::write(&path, 0o600, Some(ids), &text)?;
        println!("created {} with a new API key", path.display());
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            println!("cannot read {}: {error}; the gateway runs without the router's key", path.display());
            return Ok(String::new());
        }
    };
    Ok(key_of(&text))
}

/// The provider that the host serves, if any; otherwise a placeholder that the user completes.
fn provider() -> (String, String) {
    let served = provide::variable(MODEL_URL).zip(provide::variable(MODEL_TOKEN));
    served.map_or_else(
        || ("https://api.anthropic.com/v1/messages".to_owned(), "replace-this-with-your-key".to_owned()),
        |(url, token)| (format!("{url}/v1/messages"), token),
    )
}

fn first_configuration(port: u16, key: &str, (url, provider_key): &(String, String)) -> String {
    let provider = json!({
        "name": "anthropic",
        "api_base_url": url,
        "api_key": provider_key,
        "models": ["claude-sonnet-4-5"],
        "transformer": { "use": ["Anthropic"] },
    });
    let config = json!({
        "HOST": "0.0.0.0",
        "PORT": port,
        "APIKEY": key,
        "LOG_LEVEL": "info",
        "API_TIMEOUT_MS": 600_000,
        "Providers": [provider],
        "Router": { "default": "anthropic,claude-sonnet-4-5" },
    });
    format!("{config:#}\n")
}

/// A key of 32 random bytes from the kernel, in hexadecimal.
fn random_key() -> Result<String, Error> {
    let mut key = String::from("rave-");
    for byte in random::<32>()? {
        let _ = write!(key, "{byte:02x}");
    }
    Ok(key)
}

/// The key in a configuration that the user may have changed; a value that is not valid in a header is ignored.
fn key_of(text: &str) -> String {
    let config: serde_json::Value = match serde_json::from_str(text) {
        Ok(config) => config,
        Err(error) => {
            println!(
                "the router's configuration is not plain JSON ({error}); the gateway runs without its key"
            );
            return String::new();
        }
    };
    let key = config["APIKEY"].as_str().unwrap_or_default();
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=:".contains(&byte));
    if plain { key.to_owned() } else { String::new() }
}

/// Writes the key as a line of nginx configuration for the credentials of the gateway's unit.
pub(super) fn pass_key(credentials: &Path, key: &str) -> Result<(), Error> {
    files::directory(credentials, 0o700, None)?;
    let path = credentials.join("rave.router-key");
    if key.is_empty() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        };
    }
    files::write(&path, 0o600, None, format!("proxy_set_header X-API-Key \"{key}\";\n"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::own_ids;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_configuration_is_private_and_has_its_own_key() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = configure(one.path(), 3456, own_ids(one.path())).unwrap();
        let second = configure(two.path(), 3456, own_ids(two.path())).unwrap();
        assert_eq!(first.len(), 5 + 64);
        assert_ne!(first, second);
        assert_eq!(
            configure(one.path(), 1, own_ids(one.path())).unwrap(),
            first,
            "a second run keeps the key"
        );
        let path = one.path().join(".claude-code-router/config.json");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn user_settings_are_kept_and_never_break_the_gateway() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join(".claude-code-router");
        fs::create_dir(&folder).unwrap();
        for (text, key) in [
            ("{\"APIKEY\":\"mine\"}", "mine"),
            ("{\"APIKEY\":\"a\\\"; evil on\"}", ""),
            ("{\"APIKEY\":7}", ""),
            ("// comment\n{}", ""),
            ("", ""),
        ] {
            fs::write(folder.join("config.json"), text).unwrap();
            assert_eq!(configure(scratch.path(), 3456, own_ids(scratch.path())).unwrap(), key, "{text}");
            assert_eq!(fs::read_to_string(folder.join("config.json")).unwrap(), text);
        }
    }

    #[test]
    fn the_key_is_passed_to_the_gateway_and_removed_from_it() {
        let scratch = tempfile::tempdir().unwrap();
        let credentials = scratch.path().join("credstore");
        pass_key(&credentials, "k1").unwrap();
        let path = credentials.join("rave.router-key");
        assert_eq!(fs::read_to_string(&path).unwrap(), "proxy_set_header X-API-Key \"k1\";\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        pass_key(&credentials, "").unwrap();
        assert!(!path.exists());
        pass_key(&credentials, "").unwrap();
    }
}
