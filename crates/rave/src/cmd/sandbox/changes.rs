//! Flags of `up` for a sandbox that exists: most must agree with what it was created with.

use std::collections::BTreeMap;

use rave_sandbox::Record;
use rave_spec::ServiceName;
use rave_vm::ports::PortPolicy;

use crate::cli;
use crate::command_error::CommandError;

/// Refuses flags that differ from what the sandbox was created with.
pub(super) fn refuse_changes(args: &cli::Up, record: &Record) -> Result<(), CommandError> {
    let other = [
        ("--memory", args.size.memory.is_some_and(|memory| u64::from(memory) != record.memory_mib)),
        ("--cpus", args.size.cpus.is_some_and(|cpus| cpus != record.cpus)),
        ("--profile", args.target.profile.as_ref().is_some_and(|profile| *profile != record.profile)),
        ("--ttl", args.ttl.is_some_and(|ttl| Some(ttl.as_secs()) != record.expiry.ttl)),
        ("--idle-stop", args.idle_stop.is_some_and(|idle| Some(idle.as_secs()) != record.expiry.idle)),
        ("--base", args.target.base.is_some_and(|base| base.as_str() != record.base)),
    ];
    match other.into_iter().find(|(_, is_other)| *is_other) {
        None => Ok(()),
        Some((flag, _)) => {
            let name = &record.name;
            Err(CommandError::usage(format!("{flag}: the sandbox {name} was created with another value"))
                .remedy(format!("leave it out, or remove the sandbox first: cargo xtask rm {name}")))
        }
    }
}

/// The record with other ports, which a running sandbox cannot get.
pub(super) fn with_ports(
    policies: &BTreeMap<ServiceName, PortPolicy>,
    mut record: Record,
    is_running: bool,
) -> Result<Record, CommandError> {
    for (service, policy) in policies {
        let choice = record.ports.iter_mut().find(|choice| choice.service == service.as_str());
        let choice = choice.ok_or_else(|| {
            CommandError::usage(format!("--port: the sandbox {} has no service {service}", record.name))
        })?;
        let host = fixed_port(*policy);
        if is_running && choice.host != host {
            let name = &record.name;
            return Err(CommandError::usage(format!(
                "--port: {name} is running with another port for {service}"
            ))
            .remedy(format!("stop it first: cargo xtask stop {name}")));
        }
        choice.host = host;
    }
    Ok(record)
}

/// The port, if one was requested.
pub(super) fn fixed_port(policy: PortPolicy) -> Option<u16> {
    match policy {
        PortPolicy::Fixed(port) => Some(port),
        PortPolicy::FixedOrFree(_) | PortPolicy::Auto => None,
    }
}

#[cfg(test)]
mod tests {
    use rave_sandbox::{Expiry, PortChoice, SCHEMA};
    use rave_spec::Format;

    use super::*;

    fn record() -> Record {
        Record {
            schema: SCHEMA,
            name: "demo".parse().unwrap(),
            created: 0,
            base: "debian".into(),
            profile: "headless".into(),
            format: Format::Qemu,
            user: "agent".into(),
            memory_mib: 512,
            cpus: 1,
            disk_mib: 64,
            ports: vec![PortChoice { service: "gateway".into(), guest: 3002, host: Some(8080) }],
            expiry: Expiry::default(),
            require_fence: false,
            parent: None,
        }
    }

    fn port(service: ServiceName, policy: PortPolicy, is_running: bool) -> Result<Option<u16>, String> {
        let record = with_ports(&BTreeMap::from([(service, policy)]), record(), is_running);
        record.map(|record| record.ports[0].host).map_err(|error| error.to_string())
    }

    #[test]
    fn the_port_of_a_stopped_sandbox_can_be_changed() {
        let gateway = |policy, is_running| port(ServiceName::Gateway, policy, is_running);
        assert_eq!(gateway(PortPolicy::Auto, false), Ok(None));
        assert_eq!(gateway(PortPolicy::Fixed(9), false), Ok(Some(9)));
        assert_eq!(gateway(PortPolicy::Fixed(8080), true), Ok(Some(8080)));
        assert!(gateway(PortPolicy::Auto, true).unwrap_err().contains("is running"));
        assert!(
            port(ServiceName::Kanban, PortPolicy::Auto, false).unwrap_err().contains("no service kanban")
        );
    }

    #[test]
    fn another_size_is_refused() {
        let size = |memory| cli::Size { memory: Some(memory), cpus: None };
        let up = |memory| cli::Up { size: size(memory), ..cli::Up::default() };
        assert!(refuse_changes(&up(512), &record()).is_ok());
        assert!(refuse_changes(&up(1024), &record()).unwrap_err().to_string().starts_with("--memory: "));
    }
}
