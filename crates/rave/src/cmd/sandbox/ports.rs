//! The ports of a sandbox, and whether they lead to their services.

use rave_sandbox::SandboxName;
use rave_sandbox::control::Status;
use rave_sandbox::state::CurrentState;
use rave_vm::ports::PortForward;
use rave_vm::sandbox::SSH;
use serde::Serialize;

use crate::cmd::run::services::page;
use crate::ui::Ui;

/// A port of the host, and where it leads.
#[derive(Debug, Serialize)]
pub(super) struct Port {
    #[serde(flatten)]
    pub(super) forward: PortForward,
    pub(super) state: State,
}

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Connections are accepted.
    Open,
    /// The service has not reported yet that it answers.
    Starting,
    /// No supervisor is running.
    Closed,
}

impl Port {
    pub(super) fn all(current: &CurrentState) -> Vec<Self> {
        match &current.status {
            Some(status) => Self::of(status),
            None => Self::with(&current.forwards, None),
        }
    }

    pub(super) fn of(status: &Status) -> Vec<Self> {
        Self::with(&status.forwards, Some(&status.starting))
    }

    fn with(forwards: &[PortForward], starting: Option<&[String]>) -> Vec<Self> {
        let port = |forward: &PortForward| Self { state: state(starting, forward), forward: forward.clone() };
        forwards.iter().map(port).collect()
    }

    /// `gateway=40001`, or `gateway=starting`.
    pub(super) fn short(&self) -> String {
        let service = &self.forward.service;
        match self.state {
            State::Open => format!("{service}={}", self.forward.host),
            State::Starting => format!("{service}=starting"),
            State::Closed => format!("{service}=closed"),
        }
    }

    /// The remark after an address.
    pub(super) fn remark(&self) -> &'static str {
        match self.state {
            State::Open => "",
            State::Starting => "    (starting)",
            State::Closed => "    (closed)",
        }
    }
}

/// `starting` is the supervisor's list, if one is running.
fn state(starting: Option<&[String]>, forward: &PortForward) -> State {
    match starting {
        None => State::Closed,
        Some(starting) if starting.contains(&forward.service) => State::Starting,
        Some(_) => State::Open,
    }
}

/// Services and how they are reached.
pub(super) fn rows(name: &SandboxName, ports: &[Port]) -> Vec<Vec<String>> {
    let address = |forward: &PortForward| match forward.service.as_str() {
        SSH => format!("cargo xtask ssh {name}    ({}:{})", forward.bind, forward.host),
        service => format!("http://{}:{}{}", forward.bind, forward.host, page(service)),
    };
    let row = |port: &Port| vec![port.forward.service.clone(), address(&port.forward) + port.remark()];
    ports.iter().map(row).collect()
}

/// Prints the addresses of a started sandbox.
pub(super) fn show_address(name: &SandboxName, status: &Status, json: bool, ui: &Ui) -> anyhow::Result<()> {
    if json {
        ui.json(&serde_json::json!({ "name": name, "status": status }))?;
    } else {
        ui.table(&["service", "where"], &rows(name, &Port::of(status)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_port_is_shown_only_if_it_is_open() {
        let forward = PortForward::new("gateway", 40_001, 80);
        let short = |starting: Option<&[String]>| {
            Port { state: state(starting, &forward), forward: forward.clone() }.short()
        };
        assert_eq!(short(Some(&["ssh".into()])), "gateway=40001");
        assert_eq!(short(Some(&["gateway".into()])), "gateway=starting");
        assert_eq!(short(None), "gateway=closed");
    }
}
