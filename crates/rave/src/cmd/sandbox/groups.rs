//! The hosts behind the groups of `--allow`: those that this host's clients are configured with, and the archives of
//! the guest's own apt. Clients run in the user's home, so that no file of a workspace has any influence.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_net::{Group, Groups, Host, Origin, Rule};
use rave_process::Cmd;

use super::model;
use crate::command_error::CommandError;

/// How long a client may take to print its configuration.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest file that is read, bytes.
const FILE: u64 = 1 << 20;

/// pip's defaults, asked of pip itself.
const PIP: &str = "\
from pip._internal.models.index import PyPI
print(PyPI.simple_url)
print('https://' + PyPI.file_storage_domain)";

fn named(rules: &[Rule]) -> BTreeSet<Group> {
    let group = |rule: &Rule| if let Host::Group { group, .. } = rule.host { Some(group) } else { None };
    rules.iter().filter_map(group).collect()
}

/// The hosts of the groups in these rules; an error for a group without any known host: its rule would have no effect.
/// [`add_archives`] adds what the image knows, and checks the group `debian`.
pub(super) fn of_rules(allow: &[Rule], deny: &[Rule]) -> anyhow::Result<Groups> {
    let (allowed, denied) = (named(allow), named(deny));
    let mut groups = Groups::default();
    for group in allowed.union(&denied).copied() {
        // The supervisor serves the model; the guest need not know its host. If denied, it is not served, whatever is
        // configured.
        if group == Group::Model && (model::is_configured() || !allowed.contains(&group)) {
            continue;
        }
        let origins = with(Vec::new(), urls(group));
        if origins.is_empty() && group != Group::Debian {
            return Err(unknown(group).into());
        }
        groups.set(group, origins);
    }
    Ok(groups)
}

/// Adds the archives of the guest's apt to the group `debian` if the rules name it: the host may have other archives,
/// or none.
pub(super) fn add_archives(groups: &mut Groups, archives: &[String]) -> anyhow::Result<()> {
    if groups.known().any(|group| group == Group::Debian) {
        let known = groups.of(Group::Debian).cloned().collect();
        let origins = with(known, archives.iter().map(Found::of_server).collect());
        if origins.is_empty() {
            return Err(unknown(Group::Debian).into());
        }
        groups.set(Group::Debian, origins);
    }
    Ok(())
}

/// Adds origins. An origin that the user names too counts as the user's: those come first.
fn with(mut origins: Vec<Origin>, found: Vec<Found>) -> Vec<Origin> {
    for Found { url, is_own } in found {
        let Some(origin) = Origin::of_url(&url, is_own) else { continue };
        let as_own = Origin { private: true, ..origin.clone() };
        if is_own || !origins.contains(&as_own) {
            origins.push(origin);
        }
    }
    origins
}

/// A URL of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    url: String,
    /// The user's or the system's configuration names it, so its address may be private. An address named by a server
    /// may not: that would expose the host's network.
    is_own: bool,
}

impl Found {
    fn own(url: impl Into<String>) -> Self {
        Self { url: url.into(), is_own: true }
    }

    fn of_server(url: impl Into<String>) -> Self {
        Self { url: url.into(), is_own: false }
    }
}

fn unknown(group: Group) -> CommandError {
    let (client, remedy) = match group {
        Group::Npm => ("npm", "install npm on this host"),
        Group::Pypi => ("pip", "install pip on this host, or set PIP_INDEX_URL"),
        Group::Debian => ("apt", "add a source to /etc/apt/sources.list.d on this host"),
        Group::Crates => ("cargo", "run `cargo fetch` once on this host, so that its index is known"),
        Group::Git => ("git", "set credential.https://HOST.helper in git's global configuration"),
        Group::Model => {
            ("the configuration", "write model.toml into your configuration folder (docs/isolation.md)")
        }
    };
    CommandError::usage(format!("no host is known for the group {group}: {client} names none"))
        .remedy(format!("{remedy}; or name its hosts one by one: HOST,inspect to allow, HOST to deny"))
}

/// The URLs that a client is configured with.
fn urls(group: Group) -> Vec<Found> {
    let own = |urls: Vec<String>| urls.into_iter().map(Found::own).collect();
    match group {
        Group::Npm => own(npm(&ask("npm", &["config", "list", "--json"]))),
        Group::Pypi => {
            let set = pip(&ask("pip", &["config", "list"]), |name| std::env::var(name).ok());
            // A configured index replaces the default, and its files are served beside it.
            let has_index = set.iter().any(|(is_index, _)| *is_index);
            let default = if has_index { String::new() } else { ask("python3", &["-c", PIP]) };
            let set = set.into_iter().map(|(_, url)| url);
            own(set.chain(default.lines().map(str::to_owned)).collect())
        }
        Group::Debian => {
            let uris = ask("apt-get", &["indextargets", "--format", "$(REPO_URI)"]);
            own(uris.lines().map(str::to_owned).collect())
        }
        Group::Crates => cargo_home().map(|home| cargo(&home)).unwrap_or_default(),
        Group::Git => own(git(&ask("git", &["config", "--global", "--list"]))),
        Group::Model => Vec::new(),
    }
}

/// The output of a client; empty if it is not installed or fails.
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

/// The registries of cargo's configuration, and the download locations named by the indexes that it fetched.
fn cargo(home: &Utf8Path) -> Vec<Found> {
    let mut found = Vec::new();
    for name in ["config.toml", "config"] {
        let config = read(&home.join(name)).parse::<toml::Table>().unwrap_or_default();
        found.extend(registries(&config).into_iter().map(Found::own));
    }
    // An index may have been fetched because of a project's own configuration.
    let folders = home.join("registry/index").read_dir_utf8().into_iter().flatten().flatten();
    for folder in folders {
        // `HOST-` and 16 digits of a digest.
        if let Some((host, _)) = folder.file_name().rsplit_once('-') {
            found.push(Found::of_server(format!("https://{host}/")));
        }
        let config: serde_json::Value =
            serde_json::from_str(&read(&folder.path().join("config.json"))).unwrap_or_default();
        found.extend(["dl", "api"].iter().filter_map(|key| config[key].as_str().map(Found::of_server)));
    }
    found
}

/// The URLs of `registry.index`, `registries.NAME.index` and `source.NAME.registry`, and of no other key: a proxy is
/// not a registry.
fn registries(config: &toml::Table) -> Vec<String> {
    let tables = |key: &str| config.get(key).and_then(toml::Value::as_table).into_iter().flatten();
    let named = |key: &str, entry: &str| {
        let url = |(_, table): (&String, &toml::Value)| table.get(entry)?.as_str().map(str::to_owned);
        tables(key).filter_map(url).collect::<Vec<_>>()
    };
    let default = config.get("registry").and_then(|table| table.get("index")?.as_str().map(str::to_owned));
    let urls = [named("registries", "index"), named("source", "registry"), Vec::from_iter(default)].concat();
    urls.into_iter().map(|url| url.strip_prefix("sparse+").unwrap_or(&url).to_owned()).collect()
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
    fn npm_hosts_are_its_registry_and_those_of_scopes() {
        let text = r#"{"json":true,"registry":"https://npm.example/","@corp:registry":"https://corp.example/npm","user-agent":"x"}"#;
        assert_eq!(npm(text), ["https://corp.example/npm", "https://npm.example/"]);
        assert_eq!(npm("npm: not found"), Vec::<String>::new());
    }

    #[test]
    fn pip_hosts_come_from_its_indexes_and_variables() {
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
    fn cargo_hosts_are_its_sources_and_downloads() {
        let home = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(home.path()).unwrap();
        std::fs::write(
            home.join("config.toml"),
            "# \"https://no.example\"\n[http]\nproxy = \"http://proxy.example:3128\"\n\
             [source.crates-io]\nreplace-with = \"mirror\"\n\
             [source.mirror]\nregistry = \"sparse+https://mirror.example/index/\"\n\
             [registries.corp]\nindex = \"https://corp.example/index\"\ntoken = \"https://token.example\"\n",
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
                Found::own("https://corp.example/index"),
                Found::own("https://mirror.example/index/"),
                Found::of_server("https://index.example/"),
                Found::of_server("https://files.example/crates"),
                Found::of_server("https://api.example"),
            ]
        );
    }

    #[test]
    fn debian_hosts_include_the_images_archives_and_no_private_network() {
        let mut groups = Groups::default();
        let archives = ["http://deb.example/debian".to_owned(), "http://security.example/x".to_owned()];
        add_archives(&mut groups, &archives).unwrap();
        assert_eq!(groups, Groups::default(), "no rule names it");
        let host = Origin::of_url("http://deb.example/debian", true).unwrap();
        groups.set(Group::Debian, [host.clone()]);
        add_archives(&mut groups, &archives).unwrap();
        let image = Origin::of_url("http://security.example/x", false).unwrap();
        assert_eq!(groups.of(Group::Debian).collect::<Vec<_>>(), [&host, &image]);
        groups.set(Group::Debian, []);
        let error = format!("{:#}", add_archives(&mut groups, &[]).unwrap_err());
        assert!(error.contains("no host is known for the group debian"), "{error}");
    }

    #[test]
    fn a_group_without_hosts_is_an_error_except_a_denied_model() {
        let rule = |text: &str| vec![text.parse::<Rule>().unwrap()];
        assert_eq!(of_rules(&[], &rule("model")).unwrap(), Groups::default());
        assert_eq!(of_rules(&rule("a.example"), &rule("b.example")).unwrap(), Groups::default());
        let error = format!("{:#}", anyhow::Error::from(unknown(Group::Npm)));
        assert!(error.contains("npm names none"), "{error}");
    }

    #[test]
    fn git_hosts_come_from_credentials() {
        let text = "user.name=x\ncredential.https://git.example.helper=store\nurl.https://mirror.example/a/.insteadof=https://b.example/\n";
        assert_eq!(git(text), ["https://git.example", "https://mirror.example/a/"]);
    }
}
