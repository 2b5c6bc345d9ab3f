//! Where the user keeps a key or another secret. It is on no command line and in no file of this program.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_process::Cmd;
use serde::Deserialize;

/// How long a command may take to tell it: it may ask somebody.
const LIMIT: Duration = Duration::from_secs(120);

/// Where it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeySource {
    /// In a variable of this name.
    Environment(String),
    /// In a file that nobody else can read.
    File(Utf8PathBuf),
    /// It is what a program prints.
    Command(Vec<String>),
}

impl KeySource {
    /// What is there, without white space around it; why it cannot be read.
    pub(super) fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Environment(name) => {
                std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
            }
            Self::File(path) => {
                let about = path.metadata().map_err(|error| format!("{path}: {error}"))?;
                if about.permissions().mode() & 0o077 != 0 {
                    return Err(format!("others may read {path}; chmod 600 {path}"));
                }
                std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?
            }
            Self::Command(words) => {
                let (program, arguments) = words.split_first().ok_or("the command is empty")?;
                let home = std::env::home_dir().unwrap_or_else(|| "/".into());
                let cmd = Cmd::new(program).args(arguments).current_dir(home).timeout(LIMIT);
                // Its output is the key: of an error only the first line is told, which has none of it.
                cmd.output().map_err(|_| format!("{program} does not tell the key"))?.text()
            }
        };
        Ok(text.trim().to_owned())
    }
}
