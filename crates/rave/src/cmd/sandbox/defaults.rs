//! The defaults of a new sandbox: the user's configuration, narrowed by the workspace's file.

use std::time::Duration;

use rave_net::{Host, Mode, Policy, Proxies, Rule};
use rave_sandbox::Expiry;
use rave_spec::{Loaded, NetworkMode, NetworkRule, WORKSPACE_FILE, WorkspaceSettings};

use crate::command_error::CommandError;

/// The values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) policy: Policy,
    /// Whether connections go through a proxy of the host's environment.
    has_proxy: bool,
    pub(super) memory_mib: u64,
    pub(super) cpus: u32,
    pub(super) expiry: Expiry,
}

impl Defaults {
    /// From the user's configuration.
    pub(super) fn of(loaded: &Loaded) -> Result<Self, CommandError> {
        let network = &loaded.spec.network;
        let rules = |key: &str, rules: &[NetworkRule]| -> Result<Vec<Rule>, CommandError> {
            let at = |error| CommandError::usage(format!("{}: {key}: {error}", loaded.origins.get(key)));
            rules.iter().map(|rule| rule.as_str().parse::<Rule>().map_err(at)).collect()
        };
        Ok(Self {
            policy: Policy {
                mode: network.mode.map(mode).unwrap_or_default(),
                allow: rules("network.allow", &network.allow)?,
                deny: rules("network.deny", &network.deny)?,
                ..Policy::default()
            },
            has_proxy: !Proxies::of_this_process().is_empty(),
            memory_mib: loaded.spec.vm.memory.get(),
            cpus: loaded.spec.vm.cpus,
            expiry: Expiry::default(),
        })
    }

    /// The defaults narrowed to what the workspace requests, and the requests that are ignored because they would be
    /// wider. The hosts of the groups in the user's rules must be known. An unreadable deny rule is an error: without
    /// it more would be reachable.
    pub(super) fn narrowed(mut self, by: &WorkspaceSettings) -> Result<(Self, Vec<String>), CommandError> {
        let mut refused = Vec::new();
        let own = self.policy.clone();
        let wanted = by.network.mode.map(mode);
        self.policy.mode = wanted.filter(|mode| width(*mode) <= width(own.mode)).unwrap_or(own.mode);
        if by.has_allow {
            self.policy.allow =
                allow(&own, self.policy.mode, self.has_proxy, (&by.network.allow, &mut refused));
        }
        for text in &by.network.deny {
            let rule: Rule = text.as_str().parse().map_err(|error| {
                CommandError::usage(format!("{WORKSPACE_FILE}: network.deny: {error}")).remedy(
                    "correct the rule in the workspace, then trust the file: cargo xtask trust FOLDER",
                )
            })?;
            if !self.policy.deny.contains(&rule) {
                self.policy.deny.push(rule);
            }
        }
        if let Some(wider) = wanted.filter(|wanted| *wanted != self.policy.mode) {
            refused.push(format!("network.mode {wider}"));
        }
        match by.memory.map(rave_spec::MebiBytes::get) {
            Some(memory) if memory <= self.memory_mib => self.memory_mib = memory,
            Some(memory) => refused.push(format!("sandbox.memory {memory}")),
            None => {}
        }
        match by.cpus {
            Some(cpus) if cpus <= self.cpus => self.cpus = cpus,
            Some(cpus) => refused.push(format!("sandbox.cpus {cpus}")),
            None => {}
        }
        let shorter = |limit: Option<u64>, wanted: Option<Duration>| {
            let wanted = wanted.map(|wanted| wanted.as_secs());
            [limit, wanted].into_iter().flatten().min()
        };
        self.expiry =
            Expiry { ttl: shorter(self.expiry.ttl, by.ttl), idle: shorter(self.expiry.idle, by.idle_stop) };
        Ok((self, refused))
    }
}

/// The rules that a workspace requests, as far as the user's policy includes them. If the mode reaches every public
/// address, a list removes nothing: the user's rules that inspect connections stay, otherwise those connections would
/// not be inspected.
fn allow(
    own: &Policy,
    mode: Mode,
    has_proxy: bool,
    (wanted, refused): (&[NetworkRule], &mut Vec<String>),
) -> Vec<Rule> {
    let mut kept = Vec::new();
    if mode.is_public() {
        // Rules about addresses never inspect connections.
        kept.extend(own.allow.iter().filter(|rule| !matches!(rule.host, Host::Network(_))).cloned());
    }
    // A rule of its own lets a proxy resolve a name that the host cannot resolve, which the mode does not.
    let by_name = Policy { mode: Mode::Restricted, ..own.clone() };
    let limit = if has_proxy && own.mode.is_public() { &by_name } else { own };
    for text in wanted {
        match text.as_str().parse::<Rule>() {
            Ok(rule) if !limit.includes(&rule) => refused.push(format!("network.allow {text}")),
            Ok(rule) if kept.contains(&rule) => {}
            Ok(rule) => kept.push(rule),
            Err(_) => refused.push(format!("network.allow {text}")),
        }
    }
    kept
}

fn mode(mode: NetworkMode) -> Mode {
    match mode {
        NetworkMode::Restricted => Mode::Restricted,
        NetworkMode::Offline => Mode::Offline,
        NetworkMode::Learn => Mode::Learn,
        NetworkMode::Open => Mode::Open,
    }
}

/// How much a mode can reach, for comparisons.
fn width(mode: Mode) -> u8 {
    match mode {
        Mode::Offline => 0,
        Mode::Restricted => 1,
        Mode::Learn => 2,
        Mode::Open => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(mode: Mode, allow: &[&str]) -> Defaults {
        let allow = allow.iter().map(|rule| rule.parse().unwrap()).collect();
        let policy = Policy { mode, allow, ..Policy::default() };
        Defaults { policy, has_proxy: false, memory_mib: 2048, cpus: 2, expiry: Expiry::default() }
    }

    fn asks(text: &str) -> WorkspaceSettings {
        rave_spec::workspace(".rave.toml", text).unwrap()
    }

    #[test]
    fn wider_settings_are_ignored_and_named() {
        let user = user(Mode::Restricted, &["a.example"]);
        let (after, refused) = user.clone().narrowed(&asks(
            "[network]\nmode = \"open\"\nallow = [\"a.example\", \"evil.example\", \"10.0.0.0/8,private\"]\n\
             [sandbox]\nmemory = 8192\ncpus = 64\n",
        )).unwrap();
        assert_eq!(after, user);
        assert_eq!(
            refused,
            [
                "network.allow evil.example",
                "network.allow 10.0.0.0/8,private",
                "network.mode open",
                "sandbox.memory 8192",
                "sandbox.cpus 64",
            ]
        );
    }

    #[test]
    fn narrower_settings_apply() {
        let user = user(Mode::Open, &["db.example:5432/tcp"]);
        let (after, refused) = user
            .narrowed(&asks(
                "[network]\nmode = \"restricted\"\nallow = [\"a.example\"]\ndeny = [\"b.example\"]\n\
             [sandbox]\nmemory = 1024\ncpus = 1\nttl = 60\nidle-stop = 30\n",
            ))
            .unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        let rules = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (after.policy.mode, rules(&after.policy.allow)),
            (Mode::Restricted, vec!["a.example".into()])
        );
        assert_eq!(rules(&after.policy.deny), ["b.example"]);
        assert_eq!((after.memory_mib, after.cpus), (1024, 1));
        assert_eq!(after.expiry, Expiry { ttl: Some(60), idle: Some(30) });
    }

    #[test]
    fn behind_a_proxy_only_the_users_own_rules_name_hosts() {
        let user = Defaults { has_proxy: true, ..user(Mode::Open, &["*.a.example"]) };
        let (after, refused) =
            user.narrowed(&asks("[network]\nallow = [\"x.a.example\", \"intranet.corp\"]\n")).unwrap();
        assert_eq!(refused, ["network.allow intranet.corp"]);
        assert!(after.policy.allow.iter().all(|rule| rule.to_string().ends_with("a.example")), "{after:?}");
    }

    #[test]
    fn an_open_policy_takes_no_private_addresses_from_a_workspace() {
        let (after, refused) = user(Mode::Open, &[])
            .narrowed(&asks("[network]\nallow = [\"10.0.0.7:22/tcp,private\"]\n"))
            .unwrap();
        assert!(after.policy.allow.is_empty() && refused.len() == 1, "{refused:?}");
    }

    #[test]
    fn a_missing_list_keeps_the_users_and_an_empty_one_clears_it() {
        let user = user(Mode::Restricted, &["a.example"]);
        assert_eq!(user.clone().narrowed(&asks("")).unwrap().0, user);
        assert!(user.narrowed(&asks("[network]\nallow = []\n")).unwrap().0.policy.allow.is_empty());
    }
    /// The rules after applying a workspace's list, and how many of its rules were refused.
    fn listed(user: &Defaults, asked: &str) -> (Vec<String>, usize) {
        let (after, refused) = user.clone().narrowed(&asks(&format!("[network]\n{asked}\n"))).unwrap();
        (after.policy.allow.iter().map(ToString::to_string).collect(), refused.len())
    }

    #[test]
    fn an_open_policy_takes_no_groups_from_a_workspace_and_keeps_inspection() {
        let rules = ["a.example,inspect", "npm", "192.0.43.7"];
        for mode in [Mode::Learn, Mode::Open] {
            let user = user(mode, &rules);
            let (kept, refused) = listed(
                &user,
                "allow = [\"model\", \"git\", \"npm:write\", \"a.example\", \"a.example:443/tcp\", \"b.example\"]",
            );
            assert_eq!(
                (kept, refused),
                (vec!["a.example,inspect".into(), "npm".into(), "b.example".into()], 5)
            );
            assert_eq!(listed(&user, "allow = []").0, ["a.example,inspect", "npm"]);
            let (kept, refused) = listed(
                &user,
                "mode = \"restricted\"\nallow = [\"*.example\", \"npm\", \"b.example\", \"a.example,inspect\"]",
            );
            assert_eq!(
                (kept, refused),
                (vec!["npm".into(), "b.example".into(), "a.example,inspect".into()], 1)
            );
        }
    }

    #[test]
    fn an_inspected_rule_is_not_taken_without_inspection() {
        let user = user(Mode::Restricted, &["a.example", "a.example,inspect"]);
        assert_eq!(listed(&user, "allow = [\"a.example\"]"), (vec![], 1));
        assert_eq!(listed(&user, "allow = [\"a.example,inspect\"]").1, 0);
    }

    #[test]
    fn an_invalid_deny_rule_is_an_error() {
        let asked = asks("[network]\ndeny = [\"a.example\", \"b.example:443\"]\n");
        let error = user(Mode::Open, &[]).narrowed(&asked).unwrap_err().to_string();
        assert!(error.contains("network.deny") && error.contains("b.example:443"), "{error}");
    }
}
