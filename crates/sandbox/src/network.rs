//! What a sandbox may reach, as stored in its folder, and changes to that.

use std::fs;
use std::io::ErrorKind;

use rave_audit::Event;
use rave_fs::Replace;
use rave_net::{Denial, Groups, Log, MAX_RULES, Mode, Policy, Rule, Usage};
use rave_vm::terminal_text::plain;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::SandboxName;
use crate::place::Place;
use crate::secrets::UsableSecret;

/// The longest file that is read, bytes: enough for a thousand rules of each kind.
const LIMIT: u64 = 4 << 20;

/// A change to what a sandbox may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The new mode.
    pub mode: Option<Mode>,
    /// Rules to allow; deny rules that are the same are removed.
    #[serde(default)]
    pub allow: Vec<Rule>,
    /// Rules to deny; allow rules that are the same are removed.
    #[serde(default)]
    pub deny: Vec<Rule>,
    /// Rules of both kinds to remove, before others are added.
    #[serde(default)]
    pub forget: Vec<Rule>,
    /// The definitions of the groups among the rules.
    #[serde(default)]
    pub groups: Groups,
    /// Whether the guest's pages may connect anywhere in the user's browser.
    #[serde(default)]
    pub open_pages: Option<bool>,
}

/// The current state of a sandbox's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// What it may reach.
    pub policy: Policy,
    /// What it was denied.
    pub log: Log,
    /// Whether the guest's card is connected.
    pub is_attached: bool,
    /// Why it is halted: its record cannot be written.
    #[serde(default)]
    pub halted: Option<String>,
    /// The user's secrets that it can use; empty while it is not running.
    #[serde(default)]
    pub secrets: Vec<UsableSecret>,
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The policy after this change.
    #[must_use]
    pub fn on(&self, mut policy: Policy) -> Policy {
        // A new sandbox's rules were already counted when they were read.
        self.apply(&mut policy);
        policy
    }

    /// The event to record.
    pub(crate) fn event(&self, mode: Mode) -> Event {
        let allow = self.allow.iter().map(ToString::to_string);
        let deny = self.deny.iter().map(|rule| format!("-{rule}"));
        let forgotten = self.forget.iter().map(|rule| format!("~{rule}"));
        let rules: Vec<String> = forgotten.chain(allow).chain(deny).collect();
        if let (Some(open), None, true) = (self.open_pages, self.mode, rules.is_empty()) {
            return Event::Pages { open };
        }
        Event::Policy { mode: self.mode.unwrap_or(mode).to_string(), rules }
    }

    /// Makes the change; returns whether the number of rules is within the limit.
    fn apply(&self, policy: &mut Policy) -> bool {
        policy.mode = self.mode.unwrap_or(policy.mode);
        policy.open_pages = self.open_pages.unwrap_or(policy.open_pages);
        let Policy { allow, deny, groups, .. } = policy;
        for rules in [&mut *allow, &mut *deny] {
            rules.retain(|rule| !self.forget.contains(rule));
        }
        put(&self.allow, allow, deny);
        put(&self.deny, deny, allow);
        for group in self.groups.known() {
            groups.set(group, self.groups.of(group).cloned());
        }
        allow.len().max(deny.len()) <= MAX_RULES
    }
}

fn put(rules: &[Rule], to: &mut Vec<Rule>, from: &mut Vec<Rule>) {
    from.retain(|rule| !rules.contains(rule));
    for rule in rules {
        if !to.contains(rule) {
            to.push(rule.clone());
        }
    }
}

/// What the sandbox may reach; nothing if there is no file.
pub fn read(place: &Place) -> Result<Policy, Error> {
    let path = place.network();
    match fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Policy::default()),
        Ok(about) if about.len() > LIMIT => {
            return Err(Error::BadRecord { path, why: "it is too long".into() });
        }
        _ => {}
    }
    let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::BadRecord { path, why: error.to_string() })
}

/// What a sandbox has used of the model.
pub fn usage(place: &Place) -> Option<Usage> {
    let bytes = fs::read(place.model_usage()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The message about a denial: what was denied, the rule, and the command that allows it. It is the same in the log,
/// after a program and in the guest.
pub fn message(name: &SandboxName, denial: &Denial) -> String {
    let allow = allows(name, denial).map(|command| format!("; to allow it: {command}")).unwrap_or_default();
    format!("{}{}", plain(&denial.message()).trim(), plain(&allow).trim_end())
}

/// The command that allows what was denied.
pub fn allows(name: &SandboxName, denial: &Denial) -> Option<String> {
    denial.allow.as_ref().map(|rule| format!("cargo xtask net {name} allow {rule}"))
}

/// Saves what a sandbox may reach. The caller must be creating the sandbox, or be its supervisor.
pub fn write(place: &Place, policy: &Policy) -> Result<(), Error> {
    let path = place.network();
    let text = serde_json::to_vec_pretty(policy).map_err(|e| Error::io("write", &path, e.into()))?;
    Replace::new(&path).mode(0o600).write(text).map_err(|e| Error::io("write", &path, e))
}

/// What a sandbox may reach after a change, without saving it.
pub(crate) fn changed(place: &Place, change: &Change) -> Result<Policy, Error> {
    let mut policy = read(place)?;
    let refused = |why| Err(Error::Refused { name: place.name().clone(), why });
    let exists = |rule: &&Rule| policy.allow.contains(rule) || policy.deny.contains(rule);
    if let Some(rule) = change.forget.iter().find(|rule| !exists(rule)) {
        return refused(format!("it has no rule {rule}; its rules: cargo xtask net {} show", place.name()));
    }
    if !change.apply(&mut policy) {
        return refused(format!("a sandbox has at most {MAX_RULES} rules of each kind"));
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_last_change_of_a_rule_wins() {
        let mut policy = Policy::default();
        Change { allow: rules(&["a.example", "b.example"]), ..Change::default() }.apply(&mut policy);
        Change { deny: rules(&["a.example"]), mode: Some(Mode::Open), ..Change::default() }
            .apply(&mut policy);
        assert_eq!(
            (policy.mode, &policy.allow, &policy.deny),
            (Mode::Open, &rules(&["b.example"]), &rules(&["a.example"]))
        );
        Change { allow: rules(&["a.example", "a.example"]), ..Change::default() }.apply(&mut policy);
        assert_eq!((policy.allow.len(), policy.deny.len()), (2, 0), "{policy:?}");
    }

    #[test]
    fn a_rule_can_be_removed_whether_it_allows_or_denies() {
        let folder = tempfile::tempdir().unwrap();
        let root = camino::Utf8Path::from_path(folder.path()).unwrap();
        let place = crate::Store::new(root).place(&"demo".parse().unwrap());
        std::fs::create_dir_all(place.folder()).unwrap();
        let policy = Policy {
            allow: rules(&["a.example", "b.example"]),
            deny: rules(&["c.example"]),
            ..Policy::default()
        };
        write(&place, &policy).unwrap();
        let forget = |texts: &[&str]| Change { forget: rules(texts), ..Change::default() };
        let after = changed(&place, &forget(&["a.example", "c.example"])).unwrap();
        assert_eq!((after.allow, after.deny), (rules(&["b.example"]), vec![]));
        let error = changed(&place, &forget(&["b.example:22/tcp"])).unwrap_err().to_string();
        assert!(error.contains("no rule b.example:22/tcp"), "{error}");
        assert_eq!(read(&place).unwrap(), policy, "nothing is saved by that");
        let Event::Policy { rules, .. } = forget(&["a.example"]).event(Mode::Open) else { panic!() };
        assert_eq!(rules, ["~a.example"]);
    }

    #[test]
    fn rules_are_limited() {
        let many: Vec<Rule> =
            (0..=MAX_RULES).map(|number| format!("n{number}.example").parse().unwrap()).collect();
        assert!(!Change { allow: many, ..Change::default() }.apply(&mut Policy::default()));
    }
}
