//! The model of the user's configuration, `model.toml` in their configuration folder. Nothing is read from a workspace.

use std::collections::BTreeMap;

use camino::Utf8Path;
use rave_net::{Key, Limits, Model, Origin, Price};
use serde::Deserialize;

use super::key_source::KeySource;
use crate::command_error::CommandError;
use crate::settings;

/// The provider's own variable, used if the file has no URL.
const URL: &str = "ANTHROPIC_BASE_URL";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: Option<String>,
    key: KeySource,
    #[serde(default)]
    bearer: bool,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    prices: BTreeMap<String, Price>,
}

/// Whether the user has configured a model.
pub(super) fn is_configured() -> bool {
    settings::config_dir().is_ok_and(|folder| folder.join("model.toml").exists())
}

/// The model with the user's key; none if it is not configured. The supervisor adds what is specific to the sandbox.
pub(super) fn load() -> anyhow::Result<Option<Model>> {
    let path = settings::config_dir()?.join("model.toml");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| wrong(&path, &error.to_string()))?,
    };
    let file: File = toml::from_str(&text).map_err(|error| wrong(&path, error.message()))?;
    let model = file.model(std::env::var(URL).ok()).map_err(|why| wrong(&path, &why))?;
    Ok(Some(model))
}

fn wrong(path: &Utf8Path, why: &str) -> CommandError {
    CommandError::usage(format!("{path}: {why}")).remedy("docs/isolation.md describes its syntax")
}

impl File {
    fn model(self, variable: Option<String>) -> Result<Model, String> {
        let url = self.url.or(variable).ok_or(format!("it has no url, and {URL} is not set"))?;
        let origin = Origin::of_url(&url, true).filter(|origin| origin.tls);
        let origin = origin.ok_or("its url is not https://HOST")?;
        let path = url.trim_start_matches("https://").split_once('/').map_or("", |(_, path)| path);
        let prefix = path.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) || prefix.contains(['?', '#']) {
            return Err("its url has more than a path".into());
        }
        let key = self.key.read()?;
        let key = if self.bearer { Key::Bearer(key) } else { Key::Api(key) };
        if !key.is_plain() {
            return Err("the key is empty, or contains characters that are invalid in a key".into());
        }
        Ok(Model {
            origin,
            prefix,
            token: String::new(),
            key,
            limits: self.limits,
            // The longest matching prefix of a name wins.
            prices: self.prices.into_iter().rev().collect(),
            usage: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn model(text: &str) -> Result<Model, String> {
        toml::from_str::<File>(text).map_err(|error| error.message().to_owned())?.model(None)
    }

    #[test]
    fn a_file_has_the_provider_the_key_and_limits() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "k-1\n").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "url = \"https://provider.example:8443/base/\"\nkey.file = \"{}\"\nlimits.requests = 5\n\
             [prices.\"m-\"]\ninput = 1.0\noutput = 5.0\n[prices.\"m-2\"]\ninput = 2.0\noutput = 6.0\n",
            key.display()
        );
        let found = model(&text).unwrap();
        assert_eq!(
            (found.origin.to_string().as_str(), found.prefix.as_str()),
            ("https://provider.example:8443", "/base")
        );
        assert!(found.key == Key::Api("k-1".into()) && found.limits.requests == Some(5));
        assert_eq!(found.prices[0].0, "m-2");
        assert!(!format!("{found:?}").contains("k-1"));

        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(model(&text).unwrap_err().contains("chmod 600"));
    }

    #[test]
    fn errors_name_the_field() {
        for (text, why) in [
            ("key.command = [\"true\"]", "no url"),
            ("url = \"http://a.example\"\nkey.command = [\"true\"]", "not https"),
            ("url = \"https://a.example/?x\"\nkey.command = [\"true\"]", "more than a path"),
            ("url = \"https://a.example\"\nkey.command = [\"true\"]", "the key is empty"),
            ("url = \"https://a.example\"\nkey.environment = \"RAVE_NO_SUCH_VARIABLE\"", "is not set"),
            ("url = \"https://a.example\"\nkey = \"k\"", ""),
            ("url = \"https://a.example\"\nkey.environment = \"HOME\"\nother = 1", "other"),
        ] {
            let error = model(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
