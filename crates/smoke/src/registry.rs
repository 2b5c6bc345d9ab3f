//! Every check by name, in the order in which they run: those that only look, those that stop something, the
//! reboot, and the end.

use std::collections::BTreeSet;

use crate::checks::{life, login, system, tools, web};
use crate::guest::Guest;
use crate::poll::{Problem, Seen};

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The services' pages and interfaces, through forwarded ports.
    Web,
    /// Who is let in by SSH.
    Login,
    /// Units, the file system and rights.
    System,
    /// Programs that agents use.
    Tools,
    /// What disturbs the guest: stopped services, a reboot, the end.
    Life,
}

impl Group {
    /// Its name, for lists and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Login => "login",
            Self::System => "system",
            Self::Tools => "tools",
            Self::Life => "life",
        }
    }
}

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name: what `--only` and `--skip` take.
    pub name: &'static str,
    /// What holds when it passes.
    pub title: &'static str,
    /// What it looks at.
    pub group: Group,
    pub(crate) run: fn(&mut Guest, &mut Seen) -> Result<(), Problem>,
}

const fn check(
    group: Group,
    name: &'static str,
    title: &'static str,
    run: fn(&mut Guest, &mut Seen) -> Result<(), Problem>,
) -> Check {
    Check { name, title, group, run }
}

use Group::{Life, Login, System, Tools, Web};

/// All checks.
pub const CHECKS: &[Check] = &[
    check(Web, "kanban-answers", "Vibe Kanban serves its page", web::kanban_answers),
    check(Web, "kanban-api", "Vibe Kanban's API says that it is well", web::kanban_api),
    check(Web, "router-ui", "Claude Code Router serves its pages", web::router_ui),
    check(Web, "router-health", "Claude Code Router says that it is well", web::router_health),
    check(Web, "gateway-root", "the gateway serves Vibe Kanban at /", web::gateway_root),
    check(
        Web,
        "gateway-router-ui",
        "the gateway serves the router's pages with an asset of theirs",
        web::gateway_router_ui,
    ),
    check(Web, "gateway-health", "/healthz says that every service is well", web::gateway_health),
    check(Web, "gateway-events", "event streams pass through the gateway as they come", web::gateway_events),
    check(Login, "ssh-key", "the user logs in by key", login::by_key),
    check(
        Login,
        "ssh-password",
        "a password logs in where the profile allows it, and only there",
        login::by_password,
    ),
    check(Login, "ssh-root-refused", "root does not log in, by key or password", login::root_refused),
    check(System, "unit-chain", "the units are active and came up in their order", system::unit_chain),
    check(System, "no-failed-units", "no unit has failed", system::no_failed_units),
    check(System, "sudo", "the user becomes root without a password", system::sudo),
    check(System, "root-grown", "the root file system has grown to the disk", system::root_grown),
    check(System, "host-keys-fresh", "the SSH host keys were made by this machine", system::host_keys_fresh),
    check(Tools, "tool-node", "node is there, 20 or newer", tools::node),
    check(Tools, "tool-npm", "npm is there, as locked", tools::npm),
    check(Tools, "tool-pnpm", "pnpm is there, as locked", tools::pnpm),
    check(Tools, "tool-yarn", "yarn is there, as locked", tools::yarn),
    check(Tools, "tool-python3", "python3 is there", tools::python3),
    check(Tools, "tool-pip", "pip is there", tools::pip),
    check(Tools, "tool-virtualenv", "virtualenv is there", tools::virtualenv),
    check(Tools, "tool-rustc", "rustc is there and links a program", tools::rustc),
    check(Tools, "tool-cargo", "cargo is there", tools::cargo),
    check(Tools, "tool-git", "git is there", tools::git),
    check(Tools, "tool-curl", "curl is there", tools::curl),
    check(Tools, "tool-wget", "wget is there", tools::wget),
    check(Tools, "tool-vim", "vim is there", tools::vim),
    check(Tools, "tool-claude", "Claude Code is there, as locked", tools::claude),
    check(Tools, "tool-ccr", "the router's command is there, as locked", tools::ccr),
    check(
        Life,
        "stopped-service-told",
        "a stopped service is named by /healthz and by its page",
        life::stopped_service_told,
    ),
    check(Life, "reboot", "a reboot comes back ready with the same host keys", life::reboot),
    check(
        Life,
        "clean-shutdown",
        "the power button ends it and leaves a clean file system",
        life::clean_shutdown,
    ),
];

/// A name that no check has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCheck {
    /// The name.
    pub name: String,
    /// A check that may be meant.
    pub nearest: Option<&'static str>,
}

/// The checks that `only` names, or all where it is empty, without those that `skip` names; in their order.
pub fn select(only: &[String], skip: &[String]) -> Result<Vec<Check>, UnknownCheck> {
    let names = |wanted: &[String]| -> Result<BTreeSet<&'static str>, UnknownCheck> {
        wanted.iter().map(|name| find(name)).collect()
    };
    let (only, skip) = (names(only)?, names(skip)?);
    let chosen =
        |check: &&Check| (only.is_empty() || only.contains(check.name)) && !skip.contains(check.name);
    Ok(CHECKS.iter().filter(chosen).copied().collect())
}

fn find(name: &str) -> Result<&'static str, UnknownCheck> {
    let names = CHECKS.iter().map(|check| check.name);
    names
        .clone()
        .find(|known| *known == name)
        .ok_or_else(|| UnknownCheck { name: name.to_owned(), nearest: rave_spec::nearest(name, names) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        select(&owned(only), &owned(skip)).unwrap().iter().map(|check| check.name).collect()
    }

    #[test]
    fn names_are_unique_and_what_disturbs_comes_last() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.is_sorted_by_key(|check| check.group));
        assert_eq!(CHECKS.last().unwrap().name, "clean-shutdown");
    }

    #[test]
    fn only_and_skip_choose_and_keep_the_order() {
        assert_eq!(chosen(&["sudo", "ssh-key"], &[]), ["ssh-key", "sudo"]);
        assert_eq!(chosen(&["sudo", "ssh-key"], &["sudo"]), ["ssh-key"]);
        assert_eq!(chosen(&[], &["reboot"]).len(), CHECKS.len() - 1);
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest() {
        let error = select(&["kanban-answer".into()], &[]).unwrap_err();
        assert_eq!(error, UnknownCheck { name: "kanban-answer".into(), nearest: Some("kanban-answers") });
        assert_eq!(select(&[], &["zzzzzzzzz".into()]).unwrap_err().nearest, None);
    }
}
