//! Which host port each service gets, and where it answers.

use rave_spec::{ServiceName, Services};
use rave_vm::machine::Machine;
use rave_vm::ports::PortPolicy;
use rave_vm::sandbox::{SSH, ServicePort};
use rave_vm::ssh::Ssh;

use crate::cli::{HostPort, PortFlag};
use crate::command_error::CommandError;
use crate::ui::Ui;

/// rave.toml's host ports, changed by what `--port` says. A service named twice takes the last.
pub(super) fn wanted(flags: &[PortFlag], services: &Services) -> anyhow::Result<Vec<ServicePort>> {
    let mut wanted: Vec<ServicePort> = services
        .iter()
        .map(|(name, service)| ServicePort {
            name: name.to_string(),
            guest: service.guest.get(),
            host: PortPolicy::Fixed(service.host.get()),
        })
        .collect();
    for flag in flags {
        let Some(service) = wanted.iter_mut().find(|service| service.name == flag.service) else {
            return Err(unknown(&flag.service).into());
        };
        service.host = match flag.host {
            HostPort::Fixed(port) => PortPolicy::Fixed(port),
            HostPort::Auto => PortPolicy::Auto,
        };
    }
    Ok(wanted)
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

/// Prints where each service of a machine answers.
pub(super) fn show(machine: &Machine, ssh: &Ssh, ui: &Ui) {
    let rows: Vec<Vec<String>> = machine
        .forwards
        .iter()
        .map(|forward| {
            let address = match forward.name.as_str() {
                SSH => ssh_line(ssh),
                name => format!("http://{}:{}{}", forward.bind, forward.host, page(name)),
            };
            vec![forward.name.clone(), address]
        })
        .collect();
    ui.table(&["service", "where"], &rows);
}

/// The path of a service's page for people. The router's root answers programs, in JSON.
fn page(service: &str) -> &'static str {
    if service == ServiceName::Router.as_str() { "/ui/" } else { "/" }
}

/// The line to type in a shell for the way into the guest.
pub(super) fn ssh_line(ssh: &Ssh) -> String {
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
    use rave_spec::ConfigFile;

    fn services() -> Services {
        let read = |name: &str| {
            std::fs::read_to_string(format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        let texts = [read("rave.toml"), read("profiles/headless.toml"), read("profiles/simple.toml")];
        let sources = [
            ConfigFile::settings("rave.toml", &texts[0]),
            ConfigFile::profile("headless.toml", "headless", &texts[1]),
            ConfigFile::profile("simple.toml", "simple", &texts[2]),
        ];
        rave_spec::load(&sources, &[]).unwrap().spec.services
    }

    fn flag(service: &str, host: HostPort) -> PortFlag {
        PortFlag { service: service.to_owned(), host }
    }

    #[test]
    fn flags_change_single_ports_of_the_configuration() {
        let flags = [flag("gateway", HostPort::Auto), flag("ssh", HostPort::Fixed(2300))];
        let wanted = wanted(&flags, &services()).unwrap();
        let of = |name: &str| wanted.iter().find(|service| service.name == name).unwrap().host;
        assert_eq!(
            (of("gateway"), of("ssh"), of("kanban")),
            (PortPolicy::Auto, PortPolicy::Fixed(2300), PortPolicy::Fixed(3000))
        );
    }

    #[test]
    fn people_are_sent_to_the_routers_page_and_to_the_others_roots() {
        let pages: Vec<&str> = ServiceName::ALL.iter().map(|service| page(service.as_str())).collect();
        assert_eq!(pages, ["/", "/ui/", "/", "/"]);
    }

    #[test]
    fn an_unknown_service_is_a_usage_error_with_the_nearest_name() {
        let error = wanted(&[flag("gatway", HostPort::Auto)], &services()).unwrap_err();
        assert_eq!(code_of(&error), Code::Usage);
        assert!(lines_of(&error).join("\n").contains("did you mean gateway?"));
    }
}
