//! What the guest of `run` may reach, and which connections were refused.

use std::collections::HashSet;

use rave_net::{Denial, Host, Kind, Log, Mode, Policy, Rule};
use rave_vm::terminal_text::plain;

use crate::cli::NetworkFlags;
use crate::command_error::CommandError;
use crate::ui::Ui;

/// The maximum number of refusals that one run reports; a guest could cause endless ones.
const MAX_REPORTED: usize = 20;

/// Refuses rules that need more than `run` offers: a certificate authority that the guest trusts, and a supervisor.
pub(super) fn check(flags: &NetworkFlags) -> Result<(), CommandError> {
    let is_of_up = |rule: &&Rule| rule.inspect || matches!(rule.host, Host::Group { .. });
    let flagged =
        |flag: &'static str, rules: &[Rule]| rules.iter().find(is_of_up).map(|rule| (flag, rule.to_string()));
    let Some((flag, rule)) = flagged("--allow", &flags.allow).or_else(|| flagged("--deny", &flags.deny))
    else {
        return Ok(());
    };
    Err(CommandError::usage(format!("{flag} {rule}: run supports neither TLS inspection nor groups"))
        .remedy(format!("use a sandbox: cargo xtask up {flag} {rule}; or name the host without ,inspect")))
}

/// The default policy, changed by the flags.
pub(super) fn policy(flags: &NetworkFlags, mut policy: Policy) -> Policy {
    policy.mode = flags.network.unwrap_or(policy.mode);
    policy.allow.extend(flags.allow.iter().cloned());
    policy.deny.extend(flags.deny.iter().cloned());
    policy
}

/// The policy in one line.
pub(super) fn line(policy: &Policy) -> String {
    let closed = "this host, private networks and metadata services are closed";
    let what = match policy.mode {
        Mode::Open | Mode::Learn => {
            format!("network {}: the guest reaches every public address over TCP; {closed}", policy.mode)
        }
        Mode::Restricted => {
            "network restricted: the guest reaches what is allowed and nothing else".to_owned()
        }
        Mode::Offline => "network offline: the guest reaches nothing".to_owned(),
    };
    let rules = |what: &str, rules: &[Rule]| {
        let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
        if rules.is_empty() { String::new() } else { format!("; {what}: {}", rules.join(", ")) }
    };
    let allowed = if policy.mode == Mode::Offline { "" } else { &rules("allowed", &policy.allow) };
    format!("{what}{allowed}{}", rules("denied", &policy.deny))
}

/// Reports each refusal once.
#[derive(Default)]
pub(super) struct Denials {
    reported: HashSet<(Kind, String)>,
}

impl Denials {
    /// Reports new refusals.
    pub(super) fn report(&mut self, log: &Log, ui: &Ui) {
        for denial in self.unreported(log) {
            ui.note(&text(&denial));
        }
    }

    fn unreported(&mut self, log: &Log) -> Vec<Denial> {
        let mut new = Vec::new();
        for denial in log.denials.iter().filter(|denial| !is_usual(denial)) {
            if self.reported.len() < MAX_REPORTED && self.reported.insert((denial.kind, denial.to.clone())) {
                new.push(denial.clone());
            }
        }
        new
    }
}

/// Traffic that every guest tries and can do without: NTP, and QUIC, which falls back to TLS over TCP.
fn is_usual(denial: &Denial) -> bool {
    denial.kind == Kind::Udp && [":123", ":443"].iter().any(|port| denial.to.ends_with(port))
}

fn text(denial: &Denial) -> String {
    let allow = denial.allow.as_ref().map(|rule| format!("; to allow it: cargo xtask run --allow {rule}"));
    format!("{}{}", plain(&denial.message()).trim(), allow.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(to: &str) -> Denial {
        let (rule, allow) = ("mode open: no rule allows it".into(), Some("127.0.0.1:1/tcp,private".into()));
        Denial { first: 1, last: 1, count: 1, kind: Kind::Connection, to: to.into(), rule, allow }
    }

    #[test]
    fn the_default_is_open_and_flags_extend_the_allowed_list() {
        let own = Policy {
            mode: Mode::Open,
            allow: vec!["p.example:1/tcp,private".parse().unwrap()],
            ..Policy::default()
        };
        assert_eq!(policy(&NetworkFlags::default(), own.clone()), own);
        let flags = NetworkFlags {
            network: Some(Mode::Restricted),
            allow: vec!["a.example".parse().unwrap()],
            deny: vec!["b.example".parse().unwrap()],
        };
        assert_eq!(
            line(&policy(&flags, own)),
            "network restricted: the guest reaches what is allowed and nothing else; allowed: p.example:1/tcp,private, \
             a.example; denied: b.example"
        );
    }

    #[test]
    fn rules_for_sandboxes_only_are_refused_with_the_right_command() {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Rule>>();
        let allow = |texts: &[&str]| NetworkFlags { allow: rules(texts), ..NetworkFlags::default() };
        assert!(check(&allow(&["a.example", "10.0.0.0/8,private"])).is_ok());
        for rule in ["npm", "npm:write", "a.example,inspect"] {
            let error = check(&allow(&["b.example", rule])).unwrap_err();
            assert!(error.what.contains(rule), "{error:?}");
            assert!(error.remedy.contains(&format!("cargo xtask up --allow {rule}")), "{error:?}");
        }
        assert!(check(&NetworkFlags { deny: rules(&["npm"]), ..NetworkFlags::default() }).is_err());
    }

    #[test]
    fn refusals_are_reported_once_and_limited() {
        let mut denials = Denials::default();
        let log = |count: usize| Log {
            denials: (0..count).map(|number| denial(&format!("10.0.0.{number}:1"))).collect(),
            ..Log::default()
        };
        assert_eq!(denials.unreported(&log(2)).len(), 2);
        assert_eq!(denials.unreported(&log(3)).len(), 1);
        assert_eq!(denials.unreported(&log(100)).len(), MAX_REPORTED - 3);
        assert_eq!(denials.unreported(&log(200)).len(), 0);
        let clock = Denial { kind: Kind::Udp, ..denial("0.pool.example:123") };
        assert!(Denials::default().unreported(&Log { denials: vec![clock], ..Log::default() }).is_empty());
    }

    #[test]
    fn guest_text_is_escaped() {
        let reported = text(&denial("\u{1b}[2J10.0.0.1:1"));
        assert!(
            !reported.contains('\u{1b}')
                && reported.ends_with("; to allow it: cargo xtask run --allow 127.0.0.1:1/tcp,private"),
            "{reported}"
        );
    }
}
