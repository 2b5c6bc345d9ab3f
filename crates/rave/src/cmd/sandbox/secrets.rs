//! The secrets of the user's configuration, `secrets.toml` in their configuration folder. Neither a workspace nor a
//! checkout's `rave.toml` is read: a secret may name a command.

use std::collections::BTreeSet;
use std::sync::Arc;

use camino::Utf8Path;
use rave_guest::channel::provision::{MODEL_TOKEN, MODEL_URL};
use rave_net::{Origin, Secret};
use rave_sandbox::secrets::UserSecret;
use serde::Deserialize;

use super::key_source::KeySource;
use crate::command_error::CommandError;
use crate::settings;

/// The maximum number of secrets: the guest gets all their placeholders at its start.
const MOST: usize = 50;
/// The longest name, characters.
const NAME: usize = 40;
/// Variables that no placeholder may use: programs in the guest need them.
const TAKEN: [&str; 6] = ["HOME", MODEL_TOKEN, MODEL_URL, "PATH", "SHELL", "USER"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    secret: Vec<Entry>,
}

/// One `[[secret]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// `HOST` or `HOST:PORT`.
    host: String,
    value: KeySource,
    header: Option<String>,
    variable: Option<String>,
    /// The user name that git sends with it.
    git: Option<String>,
}

/// The secrets; each is read only when it is used.
pub(super) fn load() -> anyhow::Result<Vec<UserSecret>> {
    let path = settings::config_dir()?.join("secrets.toml");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| wrong(&path, &error.to_string()))?,
    };
    Ok(parse(&text).map_err(|why| wrong(&path, &why))?)
}

fn wrong(path: &Utf8Path, why: &str) -> CommandError {
    CommandError::usage(format!("{path}: {why}")).remedy("docs/isolation.md describes its syntax")
}

fn parse(text: &str) -> Result<Vec<UserSecret>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if file.secret.len() > MOST {
        return Err(format!("it has more than {MOST} secrets"));
    }
    let secrets: Vec<UserSecret> = file.secret.into_iter().map(Entry::secret).collect::<Result<_, _>>()?;
    let twice = |what: &str, of: &dyn Fn(&UserSecret) -> Option<String>| {
        let mut known = BTreeSet::new();
        let duplicate = secrets.iter().filter_map(of).find(|one| !known.insert(one.clone()));
        duplicate.map_or(Ok(()), |one| Err(format!("two secrets have {what} {one}")))
    };
    twice("the name", &|one| Some(one.secret.name.clone()))?;
    twice("the variable", &|one| Some(one.variable.clone()))?;
    twice("git and the host", &|one| {
        one.git_user.as_ref().map(|_| format!("{}:{}", one.secret.host, one.secret.port))
    })?;
    Ok(secrets)
}

impl Entry {
    fn secret(self) -> Result<UserSecret, String> {
        let Self { name, host, value, header, variable, git } = self;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=NAME).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(format!(
                "the name {name:?} must have 1 to {NAME} characters: lower-case letters, digits and -"
            ));
        }
        let wrong = |why: &str| format!("the secret {name}: {why}");
        let is_bare = !host.contains(['/', '@', '?', '#']);
        let origin =
            Some(&host).filter(|_| is_bare).and_then(|host| Origin::of_url(&format!("https://{host}"), true));
        let origin = origin.ok_or_else(|| wrong("its host is not HOST or HOST:PORT"))?;
        let header = header.unwrap_or_else(|| "authorization".into()).to_ascii_lowercase();
        if !Secret::fits(&header) {
            return Err(wrong(&format!("no secret goes into the field {header:?} of a request")));
        }
        if let Some(user) = &git {
            if header != "authorization" {
                return Err(wrong("git shows it in authorization"));
            }
            if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                return Err(wrong("git needs the name of a user, without a colon"));
            }
        }
        let variable = variable.unwrap_or_else(|| name.to_ascii_uppercase().replace('-', "_"));
        let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let is_variable =
            variable.bytes().all(is_part) && !variable.starts_with(|c: char| c.is_ascii_digit());
        if variable.is_empty() || !is_variable || TAKEN.contains(&variable.as_str()) {
            return Err(wrong(&format!(
                "{variable:?} is not the name of a variable, of capitals, digits and _, that is free"
            )));
        }
        let secret = Secret {
            host: origin.host,
            port: origin.port,
            header,
            placeholder: String::new(),
            source: Arc::new(move || value.read()),
            name,
        };
        Ok(UserSecret { secret, variable, git_user: git })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_are_listed_in_a_file_and_read_only_when_used() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let text = format!(
            "[[secret]]\nname = \"my-forge\"\nhost = \"Git.Example:8443\"\nvalue.file = \"{}\"\ngit = \"oauth2\"\n\
             [[secret]]\nname = \"api\"\nhost = \"api.example\"\nvalue.command = [\"printf\", \"real-%s\", \"key\"]\n\
             header = \"X-Api-Key\"\nvariable = \"API_KEY\"\n",
            key.display()
        );
        let secrets = parse(&text).unwrap();
        let [forge, api] = &secrets[..] else { panic!("{secrets:?}") };
        let about = |one: &UserSecret| {
            let Secret { name, host, port, header, .. } = &one.secret;
            format!("{name} {host}:{port} {header} {}", one.variable)
        };
        assert_eq!(about(forge), "my-forge git.example:8443 authorization MY_FORGE");
        assert_eq!(about(api), "api api.example:443 x-api-key API_KEY");
        assert_eq!((forge.git_user.as_deref(), api.git_user.as_deref()), (Some("oauth2"), None));
        assert!((forge.secret.source)().is_err(), "there is no such file yet");
        std::fs::write(&key, "real-forge\n").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!((forge.secret.source)().unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!((forge.secret.source)().unwrap(), "real-forge");
        assert_eq!((api.secret.source)().unwrap(), "real-key");
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn errors_name_the_field() {
        let entry = |more: &str| {
            format!(
                "[[secret]]\nname = \"forge\"\nhost = \"a.example\"\nvalue.environment = \"FORGE\"\n{more}\n"
            )
        };
        for (text, why) in [
            (entry("").replace("forge", "My Forge"), "lower-case letters"),
            (entry("").replace("a.example", "https://a.example"), "not HOST"),
            (entry("").replace("a.example", "me@a.example"), "not HOST"),
            (entry("").replace("a.example", "*.example"), "not HOST"),
            (entry("").replace("a.example", "127.0.0.1"), "not HOST"),
            (entry("header = \"Cookie\""), "\"cookie\""),
            (entry("header = \"host\""), "\"host\""),
            (entry("variable = \"PATH\""), "\"PATH\""),
            (entry("variable = \"a=b\""), "\"a=b\""),
            (entry("git = \"\""), "name of a user"),
            (entry("git = \"me\"\nheader = \"x-token\""), "authorization"),
            (entry("").replace(".environment = \"FORGE\"", " = \"the secret itself\""), "environment ="),
            (entry("").replace("environment = \"FORGE\"", "other = \"the secret itself\""), "environment ="),
            (entry("value.file = \"x\""), "environment ="),
            (entry("other = 1"), "other"),
            (entry("").repeat(2), "two secrets have the name forge"),
            (
                format!("{}{}", entry(""), entry("variable = \"FORGE\"").replace("\"forge", "\"f2")),
                "the variable FORGE",
            ),
            (
                format!("{}{}", entry("git = \"a\""), entry("git = \"b\"").replace("\"forge", "\"f2")),
                "git and the host",
            ),
            ((0..=MOST).map(|n| entry("").replace("forge", &format!("f{n}"))).collect(), "more than 50"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("the secret itself"), "{error}");
        }
    }
}
