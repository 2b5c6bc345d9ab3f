//! `.rave.toml` of a workspace. Its author is whoever wrote the project, so it has no key that could widen anything,
//! and none for a secret, a command or a path.

use std::time::Duration;

use crate::document::Document;
use crate::network::{self, NetworkDefaults};
use crate::reader::{Reader, Section};
use crate::{CPUS_LIMITS, ConfigFile, Errors, InvalidValue, MEMORY_LIMITS, MebiBytes, value};

/// The name of the file in the workspace's folder.
pub const WORKSPACE_FILE: &str = ".rave.toml";
/// The largest file that is read, in bytes.
pub const WORKSPACE_MAX: u64 = 64 * 1024;
/// Ten years, in seconds.
const LONGEST: i128 = 315_360_000;

/// The settings of a workspace; each is only used if it is narrower than the user's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceSettings {
    /// `[network]`.
    pub network: NetworkDefaults,
    /// Whether `network.allow` is present: an empty list allows nothing, a missing one leaves the user's unchanged.
    pub has_allow: bool,
    /// `memory` of `[sandbox]`, in MiB.
    pub memory: Option<MebiBytes>,
    /// `cpus`.
    pub cpus: Option<u32>,
    /// `ttl`.
    pub ttl: Option<Duration>,
    /// `idle-stop`.
    pub idle_stop: Option<Duration>,
}

/// Parses the text of a `.rave.toml`, which errors call `name`.
///
/// # Errors
/// Every key that is not allowed, and every invalid value. Nothing of the file is used then.
pub fn workspace(name: &str, text: &str) -> Result<WorkspaceSettings, Errors> {
    let document = [Document::parse(&ConfigFile::settings(name, text))];
    let mut reader = Reader::new(std::collections::BTreeMap::new(), document[0].diagnostics.clone());
    let settings = parse(Section::root(&document), &mut reader);
    match settings {
        Some(settings) if reader.diagnostics.is_empty() => Ok(settings),
        _ => Err(Errors(reader.diagnostics)),
    }
}

fn parse(mut root: Section<'_>, reader: &mut Reader) -> Option<WorkspaceSettings> {
    let network = root.section(reader, "network");
    let has_allow = network.names().contains_key("allow");
    let network = network::parse(network, reader);
    let mut section = root.section(reader, "sandbox");
    let memory = section.optional(reader, "memory", |_, node, _| value::limited(node, &MEMORY_LIMITS));
    let cpus = section.optional(reader, "cpus", |_, node, _| value::limited(node, &CPUS_LIMITS));
    let mut time = |name: &str| section.optional(reader, name, |_, node, _| seconds(node));
    let (ttl, idle_stop) = (time("ttl"), time("idle-stop"));
    section.finish(reader);
    root.finish(reader);
    Some(WorkspaceSettings {
        network: network?,
        has_allow,
        memory: memory.map(Some).or(None)?.map(MebiBytes::new),
        cpus: cpus.map(Some).or(None)?.and_then(|cpus| u32::try_from(cpus).ok()),
        ttl: ttl.map(Some).or(None)?,
        idle_stop: idle_stop.map(Some).or(None)?,
    })
}

fn seconds(node: &crate::node::Node) -> Result<Duration, InvalidValue> {
    const EXPECTED: &str = "a number of seconds, at least 1";
    match value::number(node, EXPECTED)? {
        number @ 1..=LONGEST => Ok(Duration::from_secs(u64::try_from(number).unwrap_or(1))),
        other => Err(InvalidValue::new(format!("{other} is out of range"), EXPECTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_the_narrowing_keys() {
        let text = "[network]\nmode = \"offline\"\nallow = []\n[sandbox]\nmemory = 1024\ncpus = 1\nttl = 60\nidle-stop = 9\n";
        let settings = workspace(".rave.toml", text).unwrap();
        assert!(settings.has_allow && settings.network.mode == Some(crate::NetworkMode::Offline));
        assert_eq!((settings.memory.unwrap().get(), settings.cpus), (1024, Some(1)));
        assert_eq!(
            settings.ttl.zip(settings.idle_stop).unwrap(),
            (Duration::from_secs(60), Duration::from_secs(9))
        );
        assert_eq!(workspace(".rave.toml", "").unwrap(), WorkspaceSettings::default());
    }

    #[test]
    fn no_secret_command_path_or_rave_toml_key_is_in_its_schema() {
        for bad in [
            "[guest]\npassword = \"x\"",
            "[guest]\nauthorized_keys = [\"ssh-ed25519 AAAA\"]",
            "[extra]\nunits = [\"/etc/x.service\"]",
            "[extra]\npackages = [\"evil\"]",
            "[sandbox]\nmount = \"/\"",
            "[sandbox]\nrequire-fence = false",
            "[[secret]]\nhost = \"a\"\ncommand = \"cat ~/.ssh/id\"",
            "[network]\nallow = [\"$(id)\"]",
            "[network]\nmode = \"everything\"",
            "[sandbox]\nttl = 0",
            "= broken",
        ] {
            assert!(workspace(".rave.toml", bad).is_err(), "{bad}");
        }
    }
}
