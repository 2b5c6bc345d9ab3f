//! The host port of each service, and its address.

use std::collections::BTreeMap;

use rave_spec::ServiceName;
use rave_vm::machine::Machine;
use rave_vm::ports::PortPolicy;
use rave_vm::sandbox::SSH;
use rave_vm::ssh::Ssh;

use crate::cli::{HostPort, PortFlag};
use crate::command_error::CommandError;
use crate::ui::Ui;

/// The port policy of each service given with `--port`; the last one wins.
pub(crate) fn policies(flags: &[PortFlag]) -> anyhow::Result<BTreeMap<ServiceName, PortPolicy>> {
    let policy = |flag: &PortFlag| {
        let name = flag.service.parse::<ServiceName>().map_err(|_| unknown(&flag.service))?;
        let policy = match flag.host {
            HostPort::Fixed(port) => PortPolicy::Fixed(port),
            HostPort::Auto => PortPolicy::Auto,
        };
        Ok((name, policy))
    };
    flags.iter().map(policy).collect()
}

fn unknown(name: &str) -> CommandError {
    let known: Vec<String> = ServiceName::ALL.iter().map(ToString::to_string).collect();
    let nearest = rave_spec::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    let failure = CommandError::usage(format!("--port: unknown service {name:?}"))
        .detail(format!("expected one of {}", known.join(", ")));
    match nearest {
        Some(nearest) => failure.remedy(format!("did you mean {nearest}?")),
        None => failure,
    }
}

/// Prints the address of each service of a machine.
pub(super) fn show(machine: &Machine, ssh: &Ssh, ui: &Ui) {
    let rows: Vec<Vec<String>> = machine
        .forwards
        .iter()
        .map(|forward| {
            let address = match forward.service.as_str() {
                SSH => ssh_line(ssh),
                name => format!("http://{}:{}{}", forward.bind, forward.host, page(name)),
            };
            vec![forward.service.clone(), address]
        })
        .collect();
    ui.table(&["service", "where"], &rows);
}

/// The path of a service's page for people. The router's root answers programs, in JSON.
pub(crate) fn page(service: &str) -> &'static str {
    if service == ServiceName::Router.as_str() { "/ui/" } else { "/" }
}

/// The shell command that logs into the guest.
pub(crate) fn ssh_line(ssh: &Ssh) -> String {
    let quoted = |path: &camino::Utf8Path| rave_process::shell_quote(path.as_str());
    format!(
        "ssh -p {} -i {} -o UserKnownHostsFile={} -o HostKeyAlias={} {}@{}",
        ssh.port,
        quoted(&ssh.key),
        quoted(&ssh.known_hosts),
        ssh.alias,
        ssh.user,
        ssh.host
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_error::{code_of, lines_of};
    use crate::exit::Code;

    fn flag(service: &str, host: HostPort) -> PortFlag {
        PortFlag { service: service.to_owned(), host }
    }

    #[test]
    fn a_flag_selects_the_port_of_its_service_and_the_last_one_wins() {
        let flags = [
            flag("gateway", HostPort::Auto),
            flag("ssh", HostPort::Auto),
            flag("ssh", HostPort::Fixed(2300)),
        ];
        let expected =
            [(ServiceName::Gateway, PortPolicy::Auto), (ServiceName::Ssh, PortPolicy::Fixed(2300))];
        assert_eq!(policies(&flags).unwrap(), expected.into());
    }

    #[test]
    fn the_routers_page_and_other_services_roots_are_shown() {
        let pages: Vec<&str> = ServiceName::ALL.iter().map(|service| page(service.as_str())).collect();
        assert_eq!(pages, ["/", "/ui/", "/", "/"]);
    }

    #[test]
    fn an_unknown_service_is_a_usage_error_with_the_nearest_name() {
        let error = policies(&[flag("gatway", HostPort::Auto)]).unwrap_err();
        assert_eq!(code_of(&error), Code::Usage);
        assert!(lines_of(&error).join("\n").contains("did you mean gateway?"));
    }
}
