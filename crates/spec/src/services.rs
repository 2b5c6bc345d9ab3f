//! The table `[services]`, in which no port may occur twice.

use std::collections::BTreeMap;

use crate::diagnostic::Place;
use crate::reader::{At, Reader, Section};
use crate::{InvalidValue, Port, Service, ServiceName, Services, value};

pub(crate) fn parse(mut section: Section<'_>, reader: &mut Reader) -> Option<Services> {
    let read: Vec<_> = ServiceName::ALL
        .iter()
        .map(|name| service(section.required_section(reader, name.as_str()), reader))
        .collect();
    section.finish(reader);
    refuse_duplicate_ports(&read, reader);
    let mut read = read.into_iter().map(ServicePorts::complete);
    let mut next = || read.next()?;
    Some(Services { kanban: next()?, router: next()?, gateway: next()?, ssh: next()? })
}

/// The ports of a service, as far as they could be read.
struct ServicePorts {
    guest: KeyedPort,
    host: KeyedPort,
}

/// A port with its place and its dotted key.
struct KeyedPort {
    key: String,
    port: Option<At<Port>>,
}

impl ServicePorts {
    fn complete(self) -> Option<Service> {
        Some(Service { guest: self.guest.port?.value, host: self.host.port?.value })
    }
}

fn service(mut section: Section<'_>, reader: &mut Reader) -> ServicePorts {
    let mut keyed = |name: &str| KeyedPort {
        key: section.key(name),
        port: section.required(reader, name, Port::EXPECTED, value::port),
    };
    let ports = ServicePorts { guest: keyed("guest"), host: keyed("host") };
    section.finish(reader);
    ports
}

/// Refuses two services with the same port in the guest, or on the host.
fn refuse_duplicate_ports(services: &[ServicePorts], reader: &mut Reader) {
    refuse_duplicates(services.iter().map(|service| &service.guest), reader);
    refuse_duplicates(services.iter().map(|service| &service.host), reader);
}

fn refuse_duplicates<'p>(ports: impl Iterator<Item = &'p KeyedPort>, reader: &mut Reader) {
    let mut taken: BTreeMap<Port, (&str, &Place)> = BTreeMap::new();
    for KeyedPort { key, port } in ports {
        let Some(port) = port else { continue };
        if let Some((first_key, first)) = taken.get(&port.value) {
            let what = format!("port {} is taken by {first_key} at {first}", port.value);
            reader.report(&port.place, key, InvalidValue::new(what, "a port of its own"));
        } else {
            taken.insert(port.value, (key, &port.place));
        }
    }
}
