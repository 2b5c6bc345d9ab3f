//! Findings about nix, which builds the NixOS base.

use rave_image::bases::nixos::Error;
use rave_image::bases::nixos::installation::{Nix, NixFacts};
use rave_image::bases::nixos::version::OLDEST;
use rave_spec::Base;

use crate::context::Context;
use crate::disk_space;
use crate::report::{Finding, Fix, NOT_FOUND, State};
use crate::requirements::NIXOS;

/// The closure of the largest profile, its disk, and one format of it: an estimate, because none was built on the test
/// host.
const STORE_MIB: u64 = 30 * 1024;

/// Findings about an installed nix, or about a missing one if it is needed.
pub fn nix(context: Context<'_>) -> Vec<Finding> {
    let absent = if context.base == Base::Nixos { State::Missing } else { State::Optional };
    match Nix::find() {
        Ok(nix) => {
            let first = Finding { found: nix.printed_version, ..finding("nix") };
            match NixFacts::find() {
                Ok(facts) => std::iter::once(first).chain(of_facts(&facts, context)).collect(),
                Err(error) => vec![first, unknown(&error)],
            }
        }
        Err(error) => vec![unusable(&error, absent)],
    }
}

fn finding(name: &str) -> Finding {
    Finding {
        name: name.to_owned(),
        found: String::new(),
        needed: format!("{OLDEST} or newer, with flakes"),
        why: "builds the nixos base",
        parts: NIXOS,
        state: State::Ok,
        fix: Fix::None,
    }
}

fn unusable(error: &Error, state: State) -> Finding {
    let found = match error {
        Error::Missing => NOT_FOUND.to_owned(),
        other => other.to_string(),
    };
    let fix = error.remedy().map_or(Fix::None, |remedy| {
        Fix::Advice(remedy.trim_end_matches("; or give --base debian").to_owned())
    });
    Finding { found, state, fix, ..finding("nix") }
}

/// A build may still work: it reports what it lacks.
fn unknown(error: &Error) -> Finding {
    Finding {
        found: error.to_string(),
        state: State::Warning,
        needed: "an answer".into(),
        ..finding("nix store")
    }
}

fn of_facts(facts: &NixFacts, context: Context<'_>) -> Vec<Finding> {
    let room = disk_space::finding("nix store", &facts.store, STORE_MIB, "`store` of nix.conf");
    let room = Finding { why: "closures, disks and formats", parts: NIXOS, ..room };
    let is_remote = !context.nix.builders.is_empty();
    vec![room, kvm(&facts.features, is_remote), trust(facts.is_trusted, context)]
}

fn kvm(features: &[String], is_remote: bool) -> Finding {
    let finding = Finding {
        needed: "kvm in system-features, only for checks".to_owned(),
        why: "the machines of `nix flake check`; images need none",
        ..finding("nix builders")
    };
    let has_kvm = features.iter().any(|feature| feature == "kvm");
    let found = if features.is_empty() { "no features".to_owned() } else { features.join(" ") };
    match (has_kvm, is_remote) {
        (true, _) => Finding { found, ..finding },
        (false, true) => {
            Finding { found: format!("{found}; the builders of [nixos] may have it"), ..finding }
        }
        (false, false) => {
            let advice = "where /dev/kvm works, put `extra-system-features = kvm` into nix.conf; otherwise check elsewhere with --builders";
            Finding { found, state: State::Optional, fix: Fix::Advice(advice.to_owned()), ..finding }
        }
    }
}

/// Requests of an untrusted user are ignored with a warning, and the build continues without them.
fn trust(is_trusted: Option<bool>, context: Context<'_>) -> Finding {
    let asks = !context.nix.builders.is_empty() || !context.nix.substituters.is_empty();
    let finding = Finding {
        needed: if asks { "a trusted user" } else { "any" }.to_owned(),
        why: "builders and caches of [nixos] and of flags",
        ..finding("nix user")
    };
    match is_trusted {
        Some(false) if asks => {
            let advice = "as root, add `extra-trusted-users = NAME` to /etc/nix/nix.conf, or the builders and caches themselves";
            Finding {
                found: "not trusted".to_owned(),
                state: State::Warning,
                fix: Fix::Advice(advice.to_owned()),
                ..finding
            }
        }
        Some(false) => Finding { found: "not trusted".to_owned(), ..finding },
        Some(true) => Finding { found: "trusted".to_owned(), ..finding },
        None => Finding { found: "not reported by the store".to_owned(), ..finding },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_advice() {
        let missing = unusable(&Error::Missing, State::Optional);
        assert_eq!((missing.found.as_str(), missing.state), (NOT_FOUND, State::Optional));
        assert!(matches!(&missing.fix, Fix::Advice(text) if text.starts_with("install Nix")));
        let off = unusable(&Error::FlakesOff, State::Missing);
        assert!(matches!(&off.fix, Fix::Advice(text) if text.contains("experimental-features")));

        let features = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(kvm(&features(&["big-parallel", "kvm"]), false).state, State::Ok);
        assert_eq!(kvm(&features(&["big-parallel"]), false).state, State::Optional);
        assert_eq!(kvm(&features(&["big-parallel"]), true).state, State::Ok);
    }
}
