//! Every check by name, in the order in which they run: those that only look, what they left, those that stop something,
//! the reboot, and the end.

use std::collections::BTreeSet;

use crate::checks::{desktop, features, life, login, system, tools, web};
use crate::guest::Guest;
use crate::poll::{CheckError, Observation};

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The services' pages and interfaces, through forwarded ports.
    Web,
    /// Who is let in by SSH.
    Login,
    /// Units, the file system and rights.
    System,
    /// The desktop, if there is one.
    Desktop,
    /// Programs that agents use.
    Tools,
    /// What only some profiles hold.
    Features,
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
            Self::Desktop => "desktop",
            Self::Tools => "tools",
            Self::Features => "features",
            Self::Life => "life",
        }
    }
}

/// What a guest's root file system lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It does not matter.
    Anywhere,
    /// A disk that keeps what is written.
    Disk,
    /// Memory over the ISO: a live session, which keeps nothing.
    Live,
}

/// Stands among the features of a guest that trusts further authorities: `guest.certificates` of `rave.toml`.
pub const CERTIFICATES: &str = "certificates";

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name: what `--only` and `--skip` take.
    pub name: &'static str,
    /// What holds when it passes.
    pub title: &'static str,
    /// What it looks at.
    pub group: Group,
    /// The feature that a guest must have for it, or [`CERTIFICATES`]; `None`: every guest.
    pub feature: Option<&'static str>,
    /// Where it applies.
    pub place: Place,
    pub(crate) probe: Probe,
}

/// What a check does, and whether others may do theirs meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probe {
    /// It only looks: others that do run beside it.
    Beside(fn(&Guest, &mut Observation) -> Result<(), CheckError>),
    /// It changes the guest, or judges what the checks before it left: it runs by itself, in its place.
    Alone(fn(&mut Guest, &mut Observation) -> Result<(), CheckError>),
}

const fn check(
    group: Group,
    name: &'static str,
    title: &'static str,
    run: fn(&Guest, &mut Observation) -> Result<(), CheckError>,
) -> Check {
    Check { name, title, group, feature: None, place: Place::Anywhere, probe: Probe::Beside(run) }
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
    /// Whether it applies to a guest that runs live, or else from its own disk.
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
    of(
        CERTIFICATES,
        check(
            System,
            "certificates",
            "the guest's stores hold the certificates of rave.toml",
            system::certificates,
        ),
    ),
    on_disk(check(System, "root-grown", "the root file system has grown to the disk", system::root_grown)),
    check(System, "host-keys-fresh", "the SSH host keys were made by this machine", system::host_keys_fresh),
    live(check(
        System,
        "medium-whole",
        "the medium is what it was made as, by its own digests",
        system::medium_whole,
    )),
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
    of("desktop", check(Desktop, "desktop-launchers", "each launcher's page answers", desktop::launchers)),
    of(
        "desktop",
        // It takes longest: the tools are asked meanwhile.
        check(Desktop, "desktop-browser", "Chromium opens the gateway by itself", desktop::browser),
    ),
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
    check(
        Tools,
        "tool-sandbox",
        "bubblewrap and socat, which Claude Code's sandbox is made of, work",
        tools::sandbox,
    ),
    check(Tools, "kanban-agent", "a task of Vibe Kanban runs the locked Claude Code", tools::kanban_agent),
    check(Tools, "tool-claude", "Claude Code is there, as locked", tools::claude),
    check(Tools, "tool-ccr", "the router's command is there, as locked", tools::ccr),
    of("sound", check(Features, "sound", "the sound server answers", features::sound)),
    // Its overlayfs does not lie on a live session's.
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
    of("vnc", check(Features, "vnc", "VNC answers on loopback, behind a password", features::vnc)),
    of("playwright", check(Features, "playwright", "Playwright drives Chromium", features::playwright)),
    of(
        "everyday-tools",
        check(
            Features,
            "everyday-tools",
            "zip, unzip, tree, htop and nano are there",
            features::everyday_tools,
        ),
    ),
    of(
        "cloud",
        check(
            Features,
            "cloud",
            "cloud-init is done or had nothing to do, and the agents are there",
            features::cloud,
        ),
    ),
    // After all that may crash, and after the page that the browser opens meanwhile.
    of(
        "desktop",
        check(Desktop, "browser-sandbox", "Chromium's pages are confined", desktop::browser_sandbox),
    ),
    of(
        "desktop",
        alone(Desktop, "desktop-calm", "no dialog is open and nothing crashed", desktop::no_dialogs),
    ),
    alone(
        Life,
        "stopped-service-told",
        "a stopped service is named by /healthz and by its page",
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

/// Why checks cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A name that no check, or no attack, has.
    #[error("there is no check {name:?}")]
    Unknown {
        /// The name.
        name: String,
        /// A check that may be meant.
        nearest: Option<&'static str>,
    },
    /// A check that was asked for and does not apply.
    #[error("{name} needs a guest with {}", needed(feature))]
    Lacks {
        /// The check.
        name: &'static str,
        /// What the guest does not have.
        feature: &'static str,
    },
}

/// The checks of a guest with these features that `only` names, or all where it is empty, without those that `skip` names;
/// in their order.
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
    fn names_are_unique_and_what_disturbs_comes_last() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.is_sorted_by_key(|check| check.group == Life));
        let calm = CHECKS.iter().position(|check| check.name == "desktop-calm");
        assert_eq!(calm, CHECKS.iter().position(|check| check.group == Life).map(|first| first - 1));
        assert_eq!(CHECKS.last().unwrap().name, "clean-shutdown");
    }

    #[test]
    fn only_and_skip_choose_and_keep_the_order() {
        assert_eq!(chosen(&["sudo", "ssh-key"], &[]), ["ssh-key", "sudo"]);
        assert_eq!(chosen(&["sudo", "ssh-key"], &["sudo"]), ["ssh-key"]);
        let apply = CHECKS.iter().filter(|check| matches!(check.feature, None | Some("desktop"))).count();
        assert_eq!(chosen(&[], &["reboot"]).len(), apply - 1);
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest() {
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
