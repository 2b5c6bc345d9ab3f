//! Host ports that lead to services of a real guest.

use std::net::TcpStream;

use super::{NAME, Sandbox};
use crate::tool::wait_until;

/// The services with their ports, and whether connections are accepted.
fn ports(sandbox: &Sandbox) -> Vec<(String, u16, String)> {
    let listed = sandbox.run(&["port", NAME, "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.expect_code(0).stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let port = |port: &serde_json::Value| {
        let number = u16::try_from(port["host"].as_u64().unwrap()).unwrap();
        (text(&port["service"]), number, text(&port["state"]))
    };
    listed.as_array().unwrap().iter().map(port).collect()
}

fn state_of(sandbox: &Sandbox, name: &str) -> String {
    let found = ports(sandbox).into_iter().find(|(service, ..)| service == name);
    found.unwrap_or_else(|| panic!("{name} has a port")).2
}

/// Ports that are reported as open are open, and every other port refuses.
pub(super) fn a_port_opens_once_its_service_answers(sandbox: &Sandbox) {
    wait_until("every service accepts connections", || {
        let mut is_all = true;
        for (service, port, state) in ports(sandbox) {
            let is_connected = TcpStream::connect(("127.0.0.1", port)).is_ok();
            // A port that accepts although it was not reported has opened since, and is reported now.
            let is_open = state == "open" || is_connected && state_of(sandbox, &service) == "open";
            assert_eq!(is_connected, is_open, "{service} was reported as {state}");
            is_all &= is_open;
        }
        is_all
    });
}

/// A new supervisor knows the open ports too.
pub(super) fn all_are_open(sandbox: &Sandbox) {
    for (service, port, state) in ports(sandbox) {
        assert_eq!(state, "open", "{service}");
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}
