//! Whether this host has a `nix` that can build the flake.

use std::sync::OnceLock;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_process::Cmd;
use serde_json::Value;

use super::argv;
use super::error::Error;
use super::version::{NixVersion, OLDEST};

/// How long a query may take: the first one may start a daemon.
const DEADLINE: Duration = Duration::from_secs(60);

/// A working nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nix {
    /// Its version.
    pub version: NixVersion,
    /// Its version as it prints it.
    pub printed_version: String,
}

impl Nix {
    /// Queries nix once per process. An unusable nix is an error too.
    pub fn find() -> Result<Self, Error> {
        static FOUND: OnceLock<Nix> = OnceLock::new();
        if let Some(nix) = FOUND.get() {
            return Ok(nix.clone());
        }
        let nix = Self::query()?;
        Ok(FOUND.get_or_init(|| nix).clone())
    }

    fn query() -> Result<Self, Error> {
        let printed_version = ask(&["nix", "--version"])?;
        let version = version(&printed_version).ok_or_else(|| Error::Answer {
            command: "nix --version".into(),
            detail: format!("{printed_version:?} names no version"),
        })?;
        if version < OLDEST {
            return Err(Error::TooOld { found: version });
        }
        // Some distributions of nix enable flakes without a setting, so test for the feature itself.
        match ask(&["nix", "eval", "--json", "--expr", "builtins ? getFlake"]) {
            Ok(answer) if answer == "true" => Ok(Self { version, printed_version }),
            Ok(_) => Err(Error::FlakesOff),
            Err(Error::Unusable { reason, .. }) if reason.contains("experimental") => Err(Error::FlakesOff),
            Err(error) => Err(error),
        }
    }
}

/// What determines whether a working nix can build an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixFacts {
    /// Where the store's files are.
    pub store: Utf8PathBuf,
    /// The features of this machine's builds: `system-features` of nix.conf(5).
    pub features: Vec<String>,
    /// Whether the store accepts builders and caches from this user (`trusted-users` of nix.conf(5)); none if it does
    /// not say.
    pub is_trusted: Option<bool>,
}

impl NixFacts {
    /// Queries nix.
    pub fn find() -> Result<Self, Error> {
        let store = ask(&words(&argv::store_folder()))?.into();
        let features = features(&ask_json(&argv::config())?);
        Ok(Self { store, features, is_trusted: trust(&ask_json(&argv::store())?) })
    }
}

/// From `nix config show --json`: an object with an entry for each setting.
fn features(config: &Value) -> Vec<String> {
    let list = config.get("system-features").and_then(|setting| setting.get("value")?.as_array());
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// From `nix store info --json`: `true` or 1.
fn trust(store: &Value) -> Option<bool> {
    let trusted = store.get("trusted")?;
    trusted.as_bool().or_else(|| trusted.as_u64().map(|number| number != 0))
}

/// The answer to the first command that this version knows.
fn ask_json(commands: &[Vec<String>; 2]) -> Result<Value, Error> {
    let [newer, older] = commands;
    let text = ask(&words(newer)).or_else(|error| ask(&words(older)).map_err(|_| error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Answer { command: newer.join(" "), detail: error.to_string() })
}

fn words(argv: &[String]) -> Vec<&str> {
    argv.iter().map(String::as_str).collect()
}

/// The last word that is a version: `nix (Determinate Nix 3.8.5) 2.30.2` gives 2.30.
fn version(printed_version: &str) -> Option<NixVersion> {
    let of_word = |word: &str| {
        let mut numbers = word.split(|c: char| !c.is_ascii_digit());
        Some(NixVersion(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    };
    printed_version.lines().next()?.split_whitespace().rev().find_map(of_word)
}

fn ask(argv: &[&str]) -> Result<String, Error> {
    match Cmd::new(argv[0]).args(argv[1..].iter().copied()).timeout(DEADLINE).output() {
        Ok(output) => Ok(output.text()),
        Err(rave_process::Error::NotFound { .. }) => Err(Error::Missing),
        Err(error) => {
            let mut lines = error.tail().iter().map(|line| super::text::plain(line));
            let first = lines.next().unwrap_or_else(|| error.to_string());
            let reason = first.strip_prefix("error: ").unwrap_or(&first).to_owned();
            Err(Error::Unusable { reason, more: lines.collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_version_are_parsed() {
        let config =
            serde_json::json!({"system-features": {"value": ["benchmark", "kvm"], "defaultValue": []}});
        assert_eq!(features(&config), ["benchmark", "kvm"]);
        assert_eq!(features(&serde_json::json!({"system-features": 1})), Vec::<String>::new());
        for (answer, expected) in [
            (r#"{"url":"daemon","version":"2.26.3","trusted":false}"#, Some(false)),
            (r#"{"url":"daemon","trusted":1}"#, Some(true)),
            (r#"{"url":"local"}"#, None),
        ] {
            assert_eq!(trust(&serde_json::from_str(answer).unwrap()), expected, "{answer}");
        }
    }

    #[test]
    fn every_nix_variant_reports_its_version() {
        for (printed_version, expected) in [
            ("nix (Nix) 2.26.3", NixVersion(2, 26)),
            ("nix (Nix) 2.18.1pre20230905_abcdef", NixVersion(2, 18)),
            ("nix (Determinate Nix 3.8.5) 2.30.2", NixVersion(2, 30)),
            ("nix (Lix, like Nix) 2.91.1", NixVersion(2, 91)),
            ("nix (Nix) 2.3", NixVersion(2, 3)),
        ] {
            assert_eq!(version(printed_version), Some(expected), "{printed_version}");
        }
        assert_eq!(version("nix"), None);
        assert!(NixVersion(2, 9) < OLDEST && NixVersion(3, 0) > OLDEST);
    }
}
