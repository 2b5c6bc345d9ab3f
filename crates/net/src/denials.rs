//! Records why a connection of the guest was not made, with the rule that would allow it.

use std::net::IpAddr;

use crate::dial::{DialError, can_be_opened};
use crate::policy::Destination;
use crate::rule::Rule;
use crate::shared::Shared;
use crate::witness::Kind;

/// The destination's address is closed.
pub(crate) fn closed(shared: &Shared, to: &Destination, port: u16, address: IpAddr, purpose: &str) {
    let rule = match to {
        Destination::Name(_) => format!("its address {address} is {purpose}"),
        Destination::Address(_) => format!("it is {purpose}"),
    };
    let allow = can_be_opened(address, to).then(|| Rule { private: true, ..rule_for(to, port) });
    deny(shared, to, port, &rule, allow.as_ref());
}

/// The host did not connect. A failure of the remote end is not recorded.
pub(crate) fn failed(shared: &Shared, to: &Destination, port: u16, error: DialError) {
    match error {
        DialError::Failed => {}
        DialError::Closed { address, purpose } => closed(shared, to, port, address, purpose),
        DialError::Denied { address, rule } => {
            deny(shared, to, port, &format!("deny {rule}, which has its address {address}"), None);
        }
        DialError::Proxy(why) => deny(shared, to, port, &why, None),
        DialError::Unnamed => {
            let why = "this host cannot resolve the name, and only asks its proxy for what a rule names";
            deny(shared, to, port, why, Some(&rule_for(to, port)));
        }
    }
}

/// The narrowest rule for a destination and port.
pub(crate) fn rule_for(to: &Destination, port: u16) -> Rule {
    match to {
        Destination::Name(name) => Rule::of_name(name, port),
        Destination::Address(address) => Rule::of_address(*address, port),
    }
}

fn deny(shared: &Shared, to: &Destination, port: u16, rule: &str, allow: Option<&Rule>) {
    shared.journal().deny(Kind::Connection, &format!("{to}:{port}"), rule, allow);
}
