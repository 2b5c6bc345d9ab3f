//! `rave-guest health`: the state of every service.

use crate::systemd::{self, Unit};
use crate::{claude, http, processor, system};
use rave_guest::assets::{SERVICES, ServiceUnit};
use rave_guest::config::GuestConfig;
use rave_guest::protocol::{Health, ServiceHealth};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The timeout of one service.
const LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn run(config: &GuestConfig) -> ExitCode {
    let health = report(config);
    // Ignore a reader that is gone (`| head`).
    let _ = writeln!(io::stdout(), "{}", to_json(&health));
    if health.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The report as formatted JSON.
pub(crate) fn to_json(health: &Health) -> String {
    serde_json::to_string_pretty(health).unwrap_or_default()
}

/// Queries systemd and all services at once.
pub(crate) fn report(config: &GuestConfig) -> Health {
    let names = SERVICES.map(|service| service.unit);
    let units = systemd::show(&names).map_err(|error| error.to_string());
    let services: Vec<ServiceHealth> = thread::scope(|scope| {
        let ask = |service: &ServiceUnit| Some((*service, config.services.get(service.name)?));
        let threads: Vec<_> = SERVICES
            .iter()
            .filter_map(ask)
            .map(|(service, port)| (service, port, scope.spawn(move || answers(service.name, port))))
            .collect();
        let reports = threads.into_iter().zip(0..).map(|((service, port, thread), index)| {
            let answer = thread.join().unwrap_or_else(|_| Err("the check failed".into()));
            let unit = match &units {
                Ok(units) => units.get(index).cloned().ok_or_else(|| "systemd did not name it".to_owned()),
                Err(error) => Err(error.clone()),
            };
            service_health(service, port, unit, answer)
        });
        reports.collect()
    });
    Health {
        ok: services.iter().all(|service| service.ok),
        version: config.version.clone(),
        host_name: system::host_name(),
        uptime_ms: system::uptime_ms(),
        services,
        claude: Some(claude::state(config)),
        warnings: processor::warning().map(str::to_owned).into_iter().collect(),
    }
}

/// Whether a service answers in its own protocol: a description, or the problem.
pub(crate) fn answers(name: &str, port: u16) -> Result<String, String> {
    if !system::listens(port) {
        return Err(format!("nothing listens on port {port}"));
    }
    // Pages that only need the service itself; the gateway's /healthz would query this program again.
    let path = match name {
        "kanban" => "/api/health",
        "router" => "/health",
        "gateway" => "/ccr-ui/rave.js",
        // Connecting to sshd without logging in fills its log, and counts as suspicious.
        _ => return Ok(format!("listens on port {port}")),
    };
    match http::get(port, path, LIMIT) {
        Ok(200) => Ok(format!("{path} answers")),
        Ok(status) => Err(format!("{path} answers with status {status}")),
        Err(error) => Err(format!("{path} does not answer: {error}")),
    }
}

fn service_health(
    service: ServiceUnit,
    port: u16,
    unit: Result<Unit, String>,
    answer: Result<String, String>,
) -> ServiceHealth {
    let answers = answer.is_ok();
    let reply = answer.unwrap_or_else(|problem| problem);
    let (active, state, sub_state, since_ms, detail) = match unit {
        Ok(unit) => {
            let since =
                if unit.changed_ms == 0 { 0 } else { system::uptime_ms().saturating_sub(unit.changed_ms) };
            let detail = if unit.is_active() { reply } else { format!("{}; {reply}", unit.describe()) };
            (unit.is_active(), unit.active, unit.sub, since, detail)
        }
        Err(problem) => (
            false,
            "unknown".into(),
            String::new(),
            0,
            format!("systemd was not reached: {problem}; {reply}"),
        ),
    };
    ServiceHealth {
        name: service.name.into(),
        unit: service.unit.into(),
        state,
        sub_state,
        port,
        answers,
        ok: active && answers,
        detail,
        since_ms,
        log: format!("journalctl -u {}", service.unit.trim_end_matches(".service")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, sub: &str) -> Unit {
        let (active, sub) = (active.into(), sub.into());
        Unit { id: "vibe-kanban.service".into(), load: "loaded".into(), active, sub, ..Unit::default() }
    }

    #[test]
    fn ok_needs_both_an_active_unit_and_an_answer() {
        let kanban = SERVICES[0];
        let yes = || Ok("/api/health answers".to_owned());
        let no = || Err("nothing listens on port 3000".to_owned());
        let good = service_health(kanban, 3000, Ok(unit("active", "running")), yes());
        assert!(good.ok && good.answers && good.log == "journalctl -u vibe-kanban");
        assert!(!service_health(kanban, 3000, Ok(unit("active", "running")), no()).ok);
        assert!(!service_health(kanban, 3000, Ok(unit("inactive", "dead")), yes()).ok);
        let bad = service_health(kanban, 3000, Ok(unit("activating", "auto-restart")), no());
        assert_eq!(
            bad.detail,
            "vibe-kanban.service is activating (auto-restart); nothing listens on port 3000"
        );
        assert_eq!(service_health(kanban, 3000, Err("x".into()), yes()).state, "unknown");
    }
}
