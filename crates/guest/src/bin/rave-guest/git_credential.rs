//! `rave-guest git-credential get`: git's credential helper (gitcredentials(7)). For a host for which the user has a
//! secret, it returns the secret's placeholder; for others nothing, and git continues as usual.

use crate::error::Error;
use crate::files::{self, failed};
use rave_guest::channel::provision::GitLogin;
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

/// The logins that the host provided. Everybody in the guest may know them: they are useless elsewhere.
pub(crate) const LOGINS: &str = "/etc/rave/git-logins.json";

/// The longest description of a credential that is read, in bytes.
const LIMIT: u64 = 64 * 1024;

pub(crate) fn run() -> Result<(), Error> {
    let path = Path::new(LOGINS);
    let logins: Vec<GitLogin> = match fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|error| failed("understand", path)(error.into()))?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let mut asked = String::new();
    io::stdin().take(LIMIT).read_to_string(&mut asked).map_err(failed("read", "standard input"))?;
    let answer = answer(&logins, &asked).unwrap_or_default();
    io::stdout().write_all(answer.as_bytes()).map_err(failed("write", "standard output"))
}

/// Called by `rave-guest provide`.
pub(crate) fn install(path: &Path, logins: &[GitLogin]) -> Result<(), Error> {
    if logins.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        };
    }
    let text = serde_json::to_vec(logins).map_err(|error| failed("write", path)(error.into()))?;
    files::write_unsynced(path, 0o644, text)
}

/// The answer for git (git-credential(1), "INPUT/OUTPUT FORMAT").
fn answer(logins: &[GitLogin], asked: &str) -> Option<String> {
    let value = |key: &str| asked.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if value("protocol")? != "https" {
        return None;
    }
    let host = value("host")?.to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    let login = logins.iter().find(|login| login.host == host)?;
    let user = value("username").filter(|user| !user.is_empty()).unwrap_or(&login.user);
    Some(format!("username={user}\npassword={}\n", login.password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins() -> Vec<GitLogin> {
        let login =
            |host: &str| GitLogin { host: host.into(), user: "token".into(), password: format!("P-{host}") };
        vec![login("git.example"), login("git.example:8443")]
    }

    #[test]
    fn only_hosts_of_a_secret_get_its_placeholder() {
        for (asked, told) in [
            ("protocol=https\nhost=git.example\n", Some("username=token\npassword=P-git.example\n")),
            ("protocol=https\nhost=Git.Example:443\n\n", Some("username=token\npassword=P-git.example\n")),
            (
                "capability[]=authtype\nprotocol=https\nhost=git.example:8443\nusername=me\n",
                Some("username=me\npassword=P-git.example:8443\n"),
            ),
            ("protocol=http\nhost=git.example\n", None),
            ("protocol=https\nhost=git.example.evil\n", None),
            ("protocol=https\nhost=git.example:80\n", None),
            ("host=git.example\n", None),
            ("", None),
        ] {
            assert_eq!(answer(&logins(), asked).as_deref(), told, "{asked}");
        }
    }

    #[test]
    fn earlier_credentials_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logins.json");
        install(&path, &logins()).unwrap();
        let read: Vec<GitLogin> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, logins());
        install(&path, &[]).unwrap();
        install(&path, &[]).unwrap();
        assert!(!path.exists());
    }
}
