//! Decides where a connection of the guest may go.

use std::net::Ipv4Addr;

use crate::dial::closed;
use crate::gate::Gate;
use crate::inspected::Target;
use crate::lan::{GATEWAY, RESOLVER};
use crate::policy::{Check, Destination, Grant, Policy, Refusal};
use crate::pool::Pool;
use crate::shared::Shared;
use crate::witness::Kind;
use crate::{denials, own};

/// A connection that may be made.
pub(super) struct Allowed {
    pub(super) to: Destination,
    pub(super) grant: Grant,
    pub(super) gate: Gate,
    /// The target if its TLS is inspected.
    pub(super) inspected: Option<Target>,
}

/// The destination of a connection, and its checks; nothing if it is refused, which is recorded.
pub(super) fn allowed(
    to: Ipv4Addr,
    port: u16,
    policy: &Policy,
    pool: &mut Pool,
    shared: &Shared,
) -> Option<Allowed> {
    let to = destination(to, port, pool, shared)?;
    let grant = match policy.connect(&to, port) {
        Ok(grant) => shared.secrets.guard(grant, &to, port),
        Err(Refusal { rule, allow }) => {
            shared.journal().deny(Kind::Connection, &format!("{to}:{port}"), &rule, allow.as_ref());
            return None;
        }
    };
    if let Destination::Address(address) = to
        && let Some(purpose) = closed(address, grant.private, true, own::addresses().as_ref())
    {
        denials::closed(shared, &to, port, address, purpose);
        return None;
    }
    if policy.learns(&grant) {
        shared.journal().learn(&denials::rule_for(&to, port));
    }
    let (gate, inspected) = match &to {
        Destination::Name(name) => {
            let secrets = shared.secrets.at(name, port);
            let target = || Target { host: name.clone(), port, access: grant.access, secrets };
            (Gate::new(&grant, name, port), (grant.check == Check::Inspected).then(target))
        }
        Destination::Address(_) => (Gate::Open, None),
    };
    Some(Allowed { to, grant, gate, inspected })
}

fn destination(to: Ipv4Addr, port: u16, pool: &mut Pool, shared: &Shared) -> Option<Destination> {
    if Pool::has(to) {
        let name = pool.name(to, std::time::Instant::now());
        if name.is_none() {
            let to = format!("{to}:{port}");
            shared.journal().deny(Kind::Connection, &to, "the address was not assigned to a name", None);
        }
        return name.map(Destination::Name);
    }
    if to == GATEWAY {
        return Some(Destination::Address(Ipv4Addr::LOCALHOST.into()));
    }
    // DNS over TCP is not needed, because no answer is that long. Nobody else is on this network.
    let is_on_lan = to.octets()[..3] == RESOLVER.octets()[..3];
    if is_on_lan {
        let why = "no other host is on this network, and the resolver only takes UDP";
        shared.journal().deny(Kind::Connection, &format!("{to}:{port}"), why, None);
    }
    (!is_on_lan).then_some(Destination::Address(to.into()))
}
