//! Checks the machine. Cheap signs come first; systemd is queried less often, because each query takes a process, and
//! during boot that delays what is waited for.

use super::progress::{Progress, StageReport};
use crate::health;
use crate::ssh_keys::{self, SSH};
use crate::system::{self, Network};
use crate::systemd::{self, Unit};
use rave_guest::config::GuestConfig;
use rave_guest::protocol::{GuestStage, StageState};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The unit of each stage that has one.
fn unit_of_stages(config: &GuestConfig) -> [(GuestStage, &'static str); 7] {
    let network =
        if config.has_network_manager() { "NetworkManager.service" } else { "systemd-networkd.service" };
    [
        (GuestStage::Tools, "install-claude-tools.service"),
        (GuestStage::Setup, "setup-agent-environment.service"),
        (GuestStage::Network, network),
        (GuestStage::Sshd, "ssh.service"),
        (GuestStage::Kanban, "vibe-kanban.service"),
        (GuestStage::Router, "claude-code-router.service"),
        (GuestStage::Gateway, "nginx.service"),
    ]
}

/// Removes the stages from `rest` that Vibe Kanban and the router require (`Requires=` and `After=` of their units):
/// they were reached if one of the two runs.
fn implied(rest: &mut Vec<GuestStage>, one_runs: bool) -> Vec<StageReport> {
    let required =
        |stage: &mut GuestStage| one_runs && matches!(stage, GuestStage::Tools | GuestStage::Setup);
    let seen = |stage| {
        let detail = "a service that requires it runs".to_owned();
        StageReport { stage, state: StageState::Ok, detail, host_keys: Vec::new() }
    };
    rest.extract_if(.., required).map(seen).collect()
}

/// The shortest interval between queries of systemd.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The reciprocal of the largest share of time that queries may take: where processes are expensive, there are fewer.
const ASK_SHARE: u32 = 20;
/// The longest pause between two questions: after one that timed out, a service that fails must still be noticed soon.
const ASK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// The pause after a question that took `cost`.
fn pause(cost: Duration) -> Duration {
    (cost * ASK_SHARE).clamp(ASK_EVERY, ASK_AT_LEAST_EVERY)
}

/// How long the driver and DHCP may take once the network is managed, in milliseconds: a few seconds, but as long
/// as the boot so far on a machine that is slow (emulated, on a busy host): half of that was seen to be too short.
fn lease_ms(managed_after_ms: u64) -> u64 {
    managed_after_ms.max(10_000)
}

pub(super) struct Watch<'a> {
    config: &'a GuestConfig,
    unit_of: [(GuestStage, &'static str); 7],
    units: BTreeMap<GuestStage, Unit>,
    asked: Option<Instant>,
    /// The duration of the last query.
    cost: Duration,
    trouble: Option<String>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(config: &'a GuestConfig) -> Self {
        let unit_of = unit_of_stages(config);
        Self { config, unit_of, units: BTreeMap::new(), asked: None, cost: Duration::ZERO, trouble: None }
    }

    /// The state of each stage that was not reached yet.
    pub(super) fn check(&mut self, progress: &Progress) -> Vec<StageReport> {
        let open: Vec<GuestStage> = self
            .unit_of
            .iter()
            .map(|(stage, _)| *stage)
            .filter(|stage| !progress.is_reached(*stage))
            .collect();
        let mut seen = Vec::new();
        let mut rest = Vec::new();
        for stage in open {
            match self.reached(stage) {
                Some(found) => seen.push(found),
                None => rest.push(stage),
            }
        }
        let runs = |stage: GuestStage| {
            progress.is_reached(stage)
                || seen.iter().any(|seen| seen.stage == stage && seen.state == StageState::Ok)
        };
        let implied = implied(&mut rest, runs(GuestStage::Kanban) || runs(GuestStage::Router));
        seen.extend(implied);
        if rest.is_empty() {
            return seen;
        }
        if self.asked.is_none_or(|asked| asked.elapsed() >= pause(self.cost)) {
            self.ask(&rest);
        }
        seen.extend(rest.into_iter().map(|stage| self.by_unit(stage)));
        seen
    }

    /// Stages that can be seen to be reached without systemd.
    fn reached(&self, stage: GuestStage) -> Option<StageReport> {
        let ports = &self.config.services;
        let detail = match stage {
            GuestStage::Network => match system::network() {
                Network::Up(interface) => format!("{interface} has an address"),
                Network::Down(_) => return None,
            },
            GuestStage::Sshd if system::listens(ports.ssh) => format!("listens on port {}", ports.ssh),
            GuestStage::Kanban | GuestStage::Router | GuestStage::Gateway => {
                health::answers(stage.name(), ports.get(stage.name())?).ok()?
            }
            _ => return None,
        };
        let host_keys =
            if stage == GuestStage::Sshd { ssh_keys::public_keys(Path::new(SSH)) } else { Vec::new() };
        Some(StageReport { stage, state: StageState::Ok, detail, host_keys })
    }

    fn ask(&mut self, stages: &[GuestStage]) {
        let asked: Vec<(GuestStage, &str)> =
            self.unit_of.into_iter().filter(|(stage, _)| stages.contains(stage)).collect();
        if asked.is_empty() {
            return;
        }
        let names: Vec<&str> = asked.iter().map(|(_, unit)| *unit).collect();
        let started = Instant::now();
        match systemd::show(&names) {
            Ok(units) => {
                self.trouble = None;
                self.units.extend(asked.iter().map(|(stage, _)| *stage).zip(units));
            }
            Err(error) => self.trouble = Some(error.to_string()),
        }
        self.asked = Some(Instant::now());
        self.cost = started.elapsed();
    }

    /// The state of any other stage, according to systemd.
    fn by_unit(&self, stage: GuestStage) -> StageReport {
        let found = |state, detail| StageReport { stage, state, detail, host_keys: Vec::new() };
        let Some(unit) = self.units.get(&stage) else {
            let detail = self.trouble.clone().unwrap_or_else(|| "systemd was not asked yet".into());
            return found(StageState::Waiting, detail);
        };
        let (state, detail) = match stage {
            GuestStage::Network => network_state(unit, &system::network(), system::uptime_ms()),
            GuestStage::Tools | GuestStage::Setup if unit.is_active() => (StageState::Ok, unit.describe()),
            _ if unit.is_given_up() => (StageState::Failed, unit.describe()),
            _ => (StageState::Waiting, unit.describe()),
        };
        found(state, detail)
    }
}

/// A missing network fails soon, so that a boot without one is not slow.
fn network_state(unit: &Unit, network: &Network, uptime_ms: u64) -> (StageState, String) {
    let Network::Down(interfaces) = network else {
        return (StageState::Waiting, "an address was just assigned".into());
    };
    // Drivers load during the boot, so at first there is no interface at all.
    let interfaces =
        if interfaces.is_empty() { "no network interface".into() } else { interfaces.join(", ") };
    if unit.is_given_up() {
        return (StageState::Failed, unit.describe());
    }
    if !unit.is_active() {
        return (StageState::Waiting, unit.describe());
    }
    let lease = lease_ms(unit.changed_ms);
    if uptime_ms.saturating_sub(unit.changed_ms) > lease {
        (StageState::Failed, format!("{interfaces}: no address within {} s", lease / 1000))
    } else {
        (StageState::Waiting, format!("{interfaces}: no address yet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_service_implies_only_its_requirements() {
        let open = vec![GuestStage::Tools, GuestStage::Setup, GuestStage::Network, GuestStage::Gateway];
        let mut rest = open.clone();
        assert!(implied(&mut rest, false).is_empty());
        assert_eq!(rest, open);
        let seen = implied(&mut rest, true);
        assert_eq!(
            seen.iter().map(|seen| seen.stage).collect::<Vec<_>>(),
            [GuestStage::Tools, GuestStage::Setup]
        );
        assert_eq!(rest, [GuestStage::Network, GuestStage::Gateway]);
    }

    #[test]
    fn slow_queries_are_less_frequent_but_never_delay_a_failure_long() {
        assert_eq!(pause(Duration::from_millis(10)), Duration::from_secs(1));
        assert_eq!(pause(Duration::from_millis(200)), Duration::from_secs(4));
        assert_eq!(pause(Duration::from_secs(20)), Duration::from_secs(10));
    }

    #[test]
    fn a_lease_is_awaited_for_a_limited_time() {
        let unit = Unit { active: "active".into(), changed_ms: 5_000, ..Unit::default() };
        let down = Network::Down(vec!["ens3".into()]);
        assert_eq!(network_state(&unit, &down, 14_000), (StageState::Waiting, "ens3: no address yet".into()));
        let none = network_state(&unit, &Network::Down(Vec::new()), 6_000);
        assert_eq!(none, (StageState::Waiting, "no network interface: no address yet".into()));
        let (state, detail) = network_state(&unit, &down, 15_001);
        assert_eq!((state, detail.as_str()), (StageState::Failed, "ens3: no address within 10 s"));
        let slow = Unit { changed_ms: 50_000, ..unit };
        assert_eq!(network_state(&slow, &down, 99_000).0, StageState::Waiting);
        assert_eq!(network_state(&slow, &down, 100_001).0, StageState::Failed);
    }

    #[test]
    fn a_starting_unit_is_awaited_and_an_abandoned_one_has_failed() {
        let config = GuestConfig::default();
        let mut watch = Watch::new(&config);
        assert_eq!(watch.by_unit(GuestStage::Tools).state, StageState::Waiting);
        let starting = Unit { active: "inactive".into(), job: true, ..Unit::default() };
        watch.units.insert(GuestStage::Tools, starting.clone());
        assert_eq!(watch.by_unit(GuestStage::Tools).state, StageState::Waiting);
        watch.units.insert(GuestStage::Tools, Unit { job: false, ..starting });
        assert_eq!(watch.by_unit(GuestStage::Tools).state, StageState::Failed);
        watch.units.insert(GuestStage::Tools, Unit { active: "active".into(), ..Unit::default() });
        assert_eq!(watch.by_unit(GuestStage::Tools).state, StageState::Ok);
    }
}
