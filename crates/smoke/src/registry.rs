//! Every check by name, in the order in which they run: those that only look, those that judge what is left, those that
//! stop something, the reboot, and the shutdown.

use std::collections::BTreeSet;

use crate::checks::{desktop, features, life, login, system, tools, web};
use crate::guest::Guest;
use crate::poll::{CheckError, Observation};

/// The subject of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The services' pages and APIs, through forwarded ports.
    Web,
    /// Who can log in over SSH.
    Login,
    /// Units, the file system and privileges.
    System,
    /// The desktop, if there is one.
    Desktop,
    /// Programs that agents use.
    Tools,
    /// What only some profiles have.
    Features,
    /// Checks that disturb the guest: stopped services, a reboot, a shutdown.
    Life,
}

impl Group {
    /// Its name, for lists and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Login => "login",
            Self::System => "system",
            Self::Desktop => "desktop",
            Self::Tools => "tools",
            Self::Features => "features",
            Self::Life => "life",
        }
    }
}

/// What the root file system of a guest is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anything.
    Anywhere,
    /// A disk, which keeps what is written.
    Disk,
    /// Memory over the ISO: a live session, which keeps nothing.
    Live,
}

/// The name among the features of a guest that trusts additional authorities: `guest.certificates` of `rave.toml`.
pub const CERTIFICATES: &str = "certificates";

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name, for `--only` and `--skip`.
    pub name: &'static str,
    /// What is true if it passes.
    pub title: &'static str,
    /// Its subject.
    pub group: Group,
    /// The feature that a guest must have for it, or [`CERTIFICATES`]; `None` for every guest.
    pub feature: Option<&'static str>,
    /// Where it applies.
    pub place: Place,
    pub(crate) probe: Probe,
}

/// What a check does, and whether other checks may run at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probe {
    /// It only looks: other such checks run at the same time.
    Parallel(fn(&Guest, &mut Observation) -> Result<(), CheckError>),
    /// It changes the guest, or judges what earlier checks left behind: it runs on its own, in order.
    Alone(fn(&mut Guest, &mut Observation) -> Result<(), CheckError>),
}

const fn check(
    group: Group,
    name: &'static str,
    title: &'static str,
    run: fn(&Guest, &mut Observation) -> Result<(), CheckError>,
) -> Check {
    Check { name, title, group, feature: None, place: Place::Anywhere, probe: Probe::Parallel(run) }
}

const fn alone(
    group: Group,
    name: &'static str,
    title: &'static str,
    run: fn(&mut Guest, &mut Observation) -> Result<(), CheckError>,
) -> Check {
    Check { name, title, group, feature: None, place: Place::Anywhere, probe: Probe::Alone(run) }
}

const fn of(feature: &'static str, check: Check) -> Check {
    Check { feature: Some(feature), ..check }
}

const fn on_disk(check: Check) -> Check {
    Check { place: Place::Disk, ..check }
}

const fn live(check: Check) -> Check {
    Check { place: Place::Live, ..check }
}

impl Check {
    /// Whether it applies to a live guest, or otherwise to one that runs from its own disk.
    pub fn applies(&self, is_live: bool) -> bool {
        match self.place {
            Place::Anywhere => true,
            Place::Disk => !is_live,
            Place::Live => is_live,
        }
    }
}

use Group::{Desktop, Features, Life, Login, System, Tools, Web};

/// All checks.
pub const CHECKS: &[Check] = &[
    check(Web, "kanban-answers", "Vibe Kanban serves its page", web::kanban_answers),
    check(Web, "kanban-api", "Vibe Kanban's API reports that it is healthy", web::kanban_api),
    check(Web, "router-ui", "Claude Code Router serves its pages", web::router_ui),
    check(Web, "router-health", "Claude Code Router reports that it is healthy", web::router_health),
    check(Web, "gateway-root", "the gateway serves Vibe Kanban at /", web::gateway_root),
    check(
        Web,
        "gateway-router-ui",
        "the gateway serves the router's pages and their assets",
        web::gateway_router_ui,
    ),
    check(Web, "gateway-health", "/healthz reports that every service is healthy", web::gateway_health),
    check(Web, "gateway-events", "event streams pass through the gateway without delay", web::gateway_events),
    check(Login, "ssh-key", "the user logs in with a key", login::by_key),
    check(
        Login,
        "ssh-password",
        "a password is accepted if, and only if, the profile allows it",
        login::by_password,
    ),
    check(Login, "ssh-root-refused", "root cannot log in, with a key or a password", login::root_refused),
    check(System, "unit-chain", "the units are active and started in order", system::unit_chain),
    check(System, "no-failed-units", "no unit has failed", system::no_failed_units),
    check(System, "sudo", "the user becomes root without a password", system::sudo),
    of(
        CERTIFICATES,
        check(
            System,
            "certificates",
            "the guest's stores contain the certificates of rave.toml",
            system::certificates,
        ),
    ),
    on_disk(check(System, "root-grown", "the root file system has grown to the disk", system::root_grown)),
    check(
        System,
        "host-keys-fresh",
        "the SSH host keys were generated by this machine",
        system::host_keys_fresh,
    ),
    live(check(System, "medium-whole", "the medium matches its own digests", system::medium_whole)),
    of("desktop", check(Desktop, "desktop-session", "the user is logged into Xfce", desktop::session)),
    of("desktop", check(Desktop, "desktop-painted", "the screen shows a desktop", desktop::painted)),
    of("desktop", check(Desktop, "desktop-size", "the screen has 1280 x 800 pixels", desktop::screen_size)),
    of(
        "desktop",
        check(Desktop, "desktop-no-locker", "nothing locks or blanks the screen", desktop::no_locker),
    ),
    of(
        "desktop",
        check(Desktop, "desktop-network", "the network applet has a connection", desktop::network_applet),
    ),
    of("desktop", check(Desktop, "desktop-launchers", "each launcher's page responds", desktop::launchers)),
    of(
        "desktop",
        // This takes longest: the tools are checked in the meantime.
        check(Desktop, "desktop-browser", "Chromium opens the gateway as its home page", desktop::browser),
    ),
    check(Tools, "tool-node", "node is installed, version 20 or newer", tools::node),
    check(Tools, "tool-npm", "npm is installed at the locked version", tools::npm),
    check(Tools, "tool-pnpm", "pnpm is installed at the locked version", tools::pnpm),
    check(Tools, "tool-yarn", "yarn is installed at the locked version", tools::yarn),
    check(Tools, "tool-python3", "python3 is installed", tools::python3),
    check(Tools, "tool-pip", "pip is installed", tools::pip),
    check(Tools, "tool-virtualenv", "virtualenv is installed", tools::virtualenv),
    check(Tools, "tool-rustc", "rustc is installed and links a program", tools::rustc),
    check(Tools, "tool-cargo", "cargo is installed", tools::cargo),
    check(Tools, "tool-git", "git is installed", tools::git),
    check(Tools, "tool-curl", "curl is installed", tools::curl),
    check(Tools, "tool-wget", "wget is installed", tools::wget),
    check(Tools, "tool-vim", "vim is installed", tools::vim),
    check(
        Tools,
        "tool-sandbox",
        "bubblewrap and socat, which Claude Code's sandbox uses, work",
        tools::sandbox,
    ),
    check(Tools, "kanban-agent", "a task of Vibe Kanban runs the locked Claude Code", tools::kanban_agent),
    check(Tools, "tool-claude", "Claude Code is installed at the locked version", tools::claude),
    check(Tools, "tool-ccr", "the router's command is installed at the locked version", tools::ccr),
    of("sound", check(Features, "sound", "the sound server responds", features::sound)),
    // Its overlayfs does not work on top of a live session's.
    on_disk(of(
        "docker",
        check(Features, "docker", "Docker runs a container of an image made here, offline", features::docker),
    )),
    of("docker", check(Features, "docker-compose", "Docker has compose", features::docker_compose)),
    of(
        "build-tools",
        check(Features, "build-tools", "gcc, g++ and make build a program", features::build_tools),
    ),
    of("virtual-screen", check(Features, "virtual-screen", "Xvfb has a screen", features::virtual_screen)),
    of("vnc", check(Features, "vnc", "VNC is served on loopback, with a password", features::vnc)),
    of("playwright", check(Features, "playwright", "Playwright drives Chromium", features::playwright)),
    of(
        "everyday-tools",
        check(
            Features,
            "everyday-tools",
            "zip, unzip, tree, htop and nano are installed",
            features::everyday_tools,
        ),
    ),
    of(
        "cloud",
        check(
            Features,
            "cloud",
            "cloud-init is done or had nothing to do, and the agents are installed",
            features::cloud,
        ),
    ),
    // After everything that may crash, and after the browser has opened its page.
    of(
        "desktop",
        check(Desktop, "browser-sandbox", "Chromium's pages are sandboxed", desktop::browser_sandbox),
    ),
    of(
        "desktop",
        alone(Desktop, "desktop-calm", "no dialog is open and nothing crashed", desktop::no_dialogs),
    ),
    alone(
        Life,
        "stopped-service-told",
        "/healthz and the gateway's page name a stopped service",
        life::stopped_service_told,
    ),
    on_disk(alone(Life, "reboot", "a reboot comes back ready with the same host keys", life::reboot)),
    on_disk(alone(
        Life,
        "clean-shutdown",
        "the power button shuts the guest down and leaves a clean filesystem",
        life::clean_shutdown,
    )),
];

/// Why checks could not be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No check or attack has this name.
    #[error("there is no check {name:?}")]
    Unknown {
        /// The name.
        name: String,
        /// A similarly named check.
        nearest: Option<&'static str>,
    },
    /// A requested check does not apply.
    #[error("{name} needs a guest with {}", needed(feature))]
    Lacks {
        /// The check.
        name: &'static str,
        /// What the guest lacks.
        feature: &'static str,
    },
}

/// The checks for a guest with these features that are in `only`, or all if it is empty, without those in `skip`; in
/// their order.
pub fn select(
    only: &[String],
    skip: &[String],
    features: &BTreeSet<String>,
) -> Result<Vec<Check>, SelectError> {
    let names = |wanted: &[String]| -> Result<BTreeSet<&'static str>, SelectError> {
        wanted.iter().map(|name| find(name)).collect()
    };
    let (only, skip) = (names(only)?, names(skip)?);
    let chosen =
        |check: &&Check| (only.is_empty() || only.contains(check.name)) && !skip.contains(check.name);
    let lacks = |check: &Check| check.feature.filter(|feature| !features.contains(*feature));
    let mut checks = Vec::new();
    for check in CHECKS.iter().filter(chosen) {
        match lacks(check) {
            None => checks.push(*check),
            Some(feature) if only.contains(check.name) => {
                return Err(SelectError::Lacks { name: check.name, feature });
            }
            Some(_) => {}
        }
    }
    Ok(checks)
}

fn needed(feature: &str) -> String {
    match feature {
        CERTIFICATES => "guest.certificates of rave.toml".to_owned(),
        feature => format!("the feature {feature}"),
    }
}

fn find(name: &str) -> Result<&'static str, SelectError> {
    let names = CHECKS.iter().map(|check| check.name);
    names.clone().find(|known| *known == name).ok_or_else(|| SelectError::Unknown {
        name: name.to_owned(),
        nearest: rave_spec::nearest(name, names),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let features = ["desktop".to_owned()].into();
        select(&owned(only), &owned(skip), &features).unwrap().iter().map(|check| check.name).collect()
    }

    #[test]
    fn names_are_unique_and_disruptive_checks_are_last() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.is_sorted_by_key(|check| check.group == Life));
        let calm = CHECKS.iter().position(|check| check.name == "desktop-calm");
        assert_eq!(calm, CHECKS.iter().position(|check| check.group == Life).map(|first| first - 1));
        assert_eq!(CHECKS.last().unwrap().name, "clean-shutdown");
    }

    #[test]
    fn only_and_skip_filter_and_keep_the_order() {
        assert_eq!(chosen(&["sudo", "ssh-key"], &[]), ["ssh-key", "sudo"]);
        assert_eq!(chosen(&["sudo", "ssh-key"], &["sudo"]), ["ssh-key"]);
        let apply = CHECKS.iter().filter(|check| matches!(check.feature, None | Some("desktop"))).count();
        assert_eq!(chosen(&[], &["reboot"]).len(), apply - 1);
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest_name() {
        let none = BTreeSet::new();
        let error = select(&["kanban-answer".into()], &[], &none).unwrap_err();
        let unknown = |name: &str, nearest| SelectError::Unknown { name: name.into(), nearest };
        assert_eq!(error, unknown("kanban-answer", Some("kanban-answers")));
        assert_eq!(select(&[], &["zzzzzzzzz".into()], &none).unwrap_err(), unknown("zzzzzzzzz", None));
    }

    #[test]
    fn a_check_of_a_feature_applies_only_where_the_guest_has_it() {
        let none = BTreeSet::new();
        assert!(select(&[], &[], &none).unwrap().iter().all(|check| check.feature.is_none()));
        let error = select(&["docker".into()], &[], &none).unwrap_err();
        assert_eq!(error.to_string(), "docker needs a guest with the feature docker");
        let known: Vec<&str> = rave_spec::Feature::ALL.iter().map(|feature| feature.as_str()).collect();
        let error = select(&["certificates".into()], &[], &none).unwrap_err();
        assert_eq!(error.to_string(), "certificates needs a guest with guest.certificates of rave.toml");
        let of_checks = CHECKS.iter().filter_map(|check| check.feature);
        let of_checks: BTreeSet<&str> = of_checks.filter(|feature| *feature != CERTIFICATES).collect();
        assert!(of_checks.iter().all(|feature| known.contains(feature)));
        assert_eq!(of_checks.len(), known.len(), "each feature has a check");
    }
}
