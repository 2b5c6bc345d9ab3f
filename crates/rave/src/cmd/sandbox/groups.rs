//! What the groups of `--allow` stand for: the hosts that the clients on this host are configured with. They are asked in the
//! user's home, so that no file of a workspace has a say.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_net::{Group, Groups, Host, Origin, Rule};
use rave_process::Cmd;

use super::model;
use crate::command_error::CommandError;

/// How long a client may take to tell its configuration.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest file that is read, bytes.
const FILE: u64 = 1 << 20;

/// pip's defaults, asked of pip itself.
const PIP: &str = "\
from pip._internal.models.index import PyPI
print(PyPI.simple_url)
print('https://' + PyPI.file_storage_domain)";

/// What the groups of these rules stand for; an error for one of which nothing is known.
pub(super) fn of_rules(rules: &[Rule]) -> anyhow::Result<Groups> {
    let wanted: BTreeSet<Group> = rules
        .iter()
        .filter_map(|rule| if let Host::Group { group, .. } = rule.host { Some(group) } else { None })
        .collect();
    let mut groups = Groups::default();
    for group in wanted {
        // The supervisor serves it; its host is not the guest's affair.
        if group == Group::Model && model::is_configured() {
            continue;
        }
        let urls = urls(group);
        let origins: Vec<Origin> = urls.iter().filter_map(|url| Origin::of_url(url, true)).collect();
        if origins.is_empty() {
            return Err(unknown(group).into());
        }
        groups.set(group, origins);
    }
    Ok(groups)
}

fn unknown(group: Group) -> CommandError {
    let (client, remedy) = match group {
        Group::Npm => ("npm", "install npm on this host"),
        Group::Pypi => ("pip", "install pip on this host, or set PIP_INDEX_URL"),
        Group::Debian => ("apt", "apt-get of this host knows no sources"),
        Group::Crates => ("cargo", "run `cargo fetch` once on this host, so that its index is known"),
        Group::Git => ("git", "set credential.https://HOST.helper in git's global configuration"),
        Group::Model => {
            ("the configuration", "write model.toml into your configuration folder (docs/isolation.md)")
        }
    };
    CommandError::usage(format!("nothing is known of the group {group}: {client} names no host"))
        .remedy(format!("{remedy}; or allow hosts by name: HOST,inspect"))
}

/// The URLs that a client is configured with.
fn urls(group: Group) -> Vec<String> {
    match group {
        Group::Npm => npm(&ask("npm", &["config", "list", "--json"])),
        Group::Pypi => {
            let set = pip(&ask("pip", &["config", "list"]), |name| std::env::var(name).ok());
            // What is set replaces the default, and its files lie beside it.
            if set.iter().any(|(is_index, _)| *is_index) {
                set.into_iter().map(|(_, url)| url).collect()
            } else {
                let default = ask("python3", &["-c", PIP]);
                set.into_iter().map(|(_, url)| url).chain(default.lines().map(str::to_owned)).collect()
            }
        }
        Group::Debian => {
            ask("apt-get", &["indextargets", "--format", "$(REPO_URI)"]).lines().map(str::to_owned).collect()
        }
        Group::Crates => cargo_home().map(|home| cargo(&home)).unwrap_or_default(),
        Group::Git => git(&ask("git", &["config", "--global", "--list"])),
        Group::Model => Vec::new(),
    }
}

/// What a client prints; nothing where it is not there, or fails.
fn ask(program: &str, args: &[&str]) -> String {
    let home = std::env::home_dir().unwrap_or_else(|| "/".into());
    let cmd = Cmd::new(program).args(args.iter().copied()).current_dir(home).timeout(LIMIT);
    cmd.output().map(|output| output.text()).unwrap_or_default()
}

/// `npm config list --json`: the registry, and those of scopes.
fn npm(text: &str) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let entries = value.as_object().into_iter().flatten();
    let registries = entries.filter(|(name, _)| *name == "registry" || name.ends_with(":registry"));
    registries.filter_map(|(_, url)| url.as_str().map(str::to_owned)).collect()
}

/// `pip config list` and its variables: each URL, and whether it is the index itself.
fn pip(text: &str, variable: impl Fn(&str) -> Option<String>) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let key = name.rsplit('.').next().unwrap_or_default();
        if matches!(key, "index-url" | "extra-index-url" | "find-links") {
            let value = value.trim_matches(['\'', '"']).replace("\\n", " ");
            found.extend(value.split_whitespace().map(|url| (key == "index-url", url.to_owned())));
        }
    }
    for (name, is_index) in [("PIP_INDEX_URL", true), ("PIP_EXTRA_INDEX_URL", false)] {
        let value = variable(name).unwrap_or_default();
        found.extend(value.split_whitespace().map(|url| (is_index, url.to_owned())));
    }
    found
}

fn cargo_home() -> Option<Utf8PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(Into::into);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    Utf8PathBuf::from_path_buf(home).ok()
}

/// cargo's configuration, and what the indexes that it fetched say of their packages' place.
fn cargo(home: &Utf8Path) -> Vec<String> {
    let mut urls = Vec::new();
    for name in ["config.toml", "config"] {
        for line in read(&home.join(name)).lines().filter(|line| !line.trim_start().starts_with('#')) {
            urls.extend(line.split('"').filter_map(|word| word.find("http").map(|at| word[at..].to_owned())));
        }
    }
    let folders = home.join("registry/index").read_dir_utf8().into_iter().flatten().flatten();
    for folder in folders {
        // `HOST-` and 16 digits of a digest.
        if let Some((host, _)) = folder.file_name().rsplit_once('-') {
            urls.push(format!("https://{host}/"));
        }
        let config: serde_json::Value =
            serde_json::from_str(&read(&folder.path().join("config.json"))).unwrap_or_default();
        urls.extend(["dl", "api"].iter().filter_map(|key| config[key].as_str().map(str::to_owned)));
    }
    urls
}

/// `git config --list`: hosts of credentials and of replaced URLs.
fn git(text: &str) -> Vec<String> {
    let keys = text.lines().filter_map(|line| line.split_once('=').map(|(key, _)| key));
    let urls = keys.filter_map(|key| key.strip_prefix("credential.").or_else(|| key.strip_prefix("url.")));
    urls.filter_map(|rest| rest.rsplit_once('.').map(|(url, _)| url.to_owned())).collect()
}

fn read(path: &Utf8Path) -> String {
    let is_short = path.metadata().is_ok_and(|about| about.len() <= FILE);
    if is_short { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npm_names_its_registry_and_those_of_scopes() {
        let text = r#"{"json":true,"registry":"https://npm.example/","@corp:registry":"https://corp.example/npm","user-agent":"x"}"#;
        assert_eq!(npm(text), ["https://corp.example/npm", "https://npm.example/"]);
        assert_eq!(npm("npm: not found"), Vec::<String>::new());
    }

    #[test]
    fn pip_names_its_indexes_and_variables_count() {
        let text = "global.index-url='https://pip.example/simple'\nglobal.timeout='60'\nuser.extra-index-url='https://a.example/x\\nhttps://b.example/y'\n";
        let found = pip(text, |name| (name == "PIP_EXTRA_INDEX_URL").then(|| "https://c.example".to_owned()));
        let urls: Vec<&str> = found.iter().map(|(_, url)| url.as_str()).collect();
        assert_eq!(
            urls,
            ["https://pip.example/simple", "https://a.example/x", "https://b.example/y", "https://c.example"]
        );
        assert_eq!(found.iter().filter(|(is_index, _)| *is_index).count(), 1);
    }

    #[test]
    fn cargo_names_sources_and_where_packages_lie() {
        let home = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(home.path()).unwrap();
        std::fs::write(
            home.join("config.toml"),
            "# \"https://no.example\"\n[source.mirror]\nregistry = \"sparse+https://mirror.example/index/\"\n",
        )
        .unwrap();
        let index = home.join("registry/index/index.example-0123456789abcdef");
        std::fs::create_dir_all(&index).unwrap();
        std::fs::write(
            index.join("config.json"),
            r#"{"dl":"https://files.example/crates","api":"https://api.example"}"#,
        )
        .unwrap();
        assert_eq!(
            cargo(home),
            [
                "https://mirror.example/index/",
                "https://index.example/",
                "https://files.example/crates",
                "https://api.example"
            ]
        );
    }

    #[test]
    fn git_names_hosts_of_credentials() {
        let text = "user.name=x\ncredential.https://git.example.helper=store\nurl.https://mirror.example/a/.insteadof=https://b.example/\n";
        assert_eq!(git(text), ["https://git.example", "https://mirror.example/a/"]);
    }
}
