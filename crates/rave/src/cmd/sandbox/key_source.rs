//! Where the user keeps a key or another secret. It never appears on a command line or in a file of this program.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_process::Cmd;
use serde::Deserialize;
use toml::Value;

/// How long a command may take to print it: it may prompt the user.
const LIMIT: Duration = Duration::from_secs(120);

/// The expected syntax.
const WANTED: &str = "expected one of: environment = \"NAME\", file = \"PATH\", command = [\"PROGRAM\", ...]";

/// Where a secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum KeySource {
    /// In this environment variable.
    Environment(String),
    /// In a file that nobody else can read.
    File(Utf8PathBuf),
    /// In the output of this command.
    Command(Vec<String>),
}

/// Implemented by hand: the error of a derived implementation would show a secret that was written there literally.
impl TryFrom<Value> for KeySource {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let words = |words: Vec<Value>| {
            let word = |word: Value| if let Value::String(word) = word { Some(word) } else { None };
            words.into_iter().map(word).collect::<Option<Vec<_>>>()
        };
        let mut entries =
            if let Value::Table(table) = value { table.into_iter() } else { return Err(WANTED) };
        match (entries.next(), entries.next()) {
            (Some((key, Value::String(name))), None) if key == "environment" => Ok(Self::Environment(name)),
            (Some((key, Value::String(path))), None) if key == "file" => Ok(Self::File(path.into())),
            (Some((key, Value::Array(all))), None) if key == "command" => {
                words(all).map(Self::Command).ok_or(WANTED)
            }
            _ => Err(WANTED),
        }
    }
}

impl KeySource {
    /// Reads the secret, without surrounding white space. The error says why that failed. The guest gets it, so it contains
    /// nothing that the user wrote, which may be the secret in the wrong place.
    pub(super) fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Environment(name) => {
                std::env::var(name).map_err(|_| "its variable is not set".to_owned())?
            }
            Self::File(path) => {
                let about = path.metadata().map_err(|error| format!("its file: {error}"))?;
                if about.permissions().mode() & 0o077 != 0 {
                    return Err("others may read its file: chmod 600 it".into());
                }
                std::fs::read_to_string(path).map_err(|error| format!("its file: {error}"))?
            }
            Self::Command(words) => {
                let (program, arguments) = words.split_first().ok_or("the command is empty")?;
                let home = std::env::home_dir().unwrap_or_else(|| "/".into());
                let cmd = Cmd::new(program).args(arguments).current_dir(home).timeout(LIMIT);
                // The output is the key, so it must not be part of the error.
                cmd.output().map_err(|_| "its command did not print it".to_owned())?.text()
            }
        };
        Ok(text.trim().to_owned())
    }
}
