//! `/etc/rave/guest.json`: what the programs in the guest need to know about it.

use std::collections::BTreeSet;

use crate::features;
use serde::{Deserialize, Serialize};

/// Where the guest's configuration lies inside the guest.
pub const PATH: &str = "/etc/rave/guest.json";

/// One guest as the image was built for it. The caller has validated every value (`rave-spec` does): names are
/// names, ports are unique, and no value of `environment` holds a newline or a NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestConfig {
    /// Login name of the user that agents and services run as.
    pub user: String,
    /// That user's home, an absolute path.
    pub home: String,
    /// The static host name.
    pub host_name: String,
    /// True: SSH takes keys only. False: the user may also log in with a password.
    pub hardened: bool,
    /// The ports that the services listen on inside the guest.
    pub services: GuestPorts,
    /// Variables for the user's shells and for the services, in order.
    pub environment: Vec<(String, String)>,
    /// The folder with the npm tools' `node_modules` and `bin`.
    pub tools: String,
    /// Public keys that let the user in, as lines of `authorized_keys` (sshd(8)).
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// Host names that the gateway's pages are called by, besides those that nobody else can own.
    #[serde(default)]
    pub gateway_names: Vec<String>,
    /// Names of the files whose certificates the guest trusts besides those of the public authorities.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Claude Code is not in the image: the guest installs it when it first has a network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claude_at_first_boot: bool,
    /// What the guest contains, in addition to what every guest has: names of [`features`](crate::features).
    #[serde(default)]
    pub features: BTreeSet<String>,
    /// The version of RAVE that built the image.
    pub version: String,
}

/// The TCP ports of the services inside the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPorts {
    /// Vibe Kanban.
    pub kanban: u16,
    /// Claude Code Router.
    pub router: u16,
    /// nginx, in front of both.
    pub gateway: u16,
    /// OpenSSH.
    pub ssh: u16,
}

impl GuestPorts {
    /// The port of a service by its name in `rave.toml`.
    pub fn get(&self, service: &str) -> Option<u16> {
        match service {
            "kanban" => Some(self.kanban),
            "router" => Some(self.router),
            "gateway" => Some(self.gateway),
            "ssh" => Some(self.ssh),
            _ => None,
        }
    }
}

impl GuestConfig {
    /// Whether the guest has a feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// Whether `NetworkManager`, instead of systemd-networkd, manages the network.
    pub fn has_network_manager(&self) -> bool {
        self.has(features::DESKTOP)
    }

    /// Parses `guest.json`.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text of `guest.json`, with a final newline.
    #[expect(clippy::missing_panics_doc, reason = "strings, numbers and lists always serialise")]
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("strings, numbers and lists always serialise");
        text.push('\n');
        text
    }
}

/// The version of RAVE that builds the image.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Default for GuestConfig {
    /// The guest of an untouched `rave.toml`, for tests: this crate cannot read that file, and a test of `rave-image` compares.
    fn default() -> Self {
        Self {
            user: "agent".into(),
            home: "/home/agent".into(),
            host_name: "rave".into(),
            hardened: false,
            services: GuestPorts { kanban: 3000, router: 3456, gateway: 3002, ssh: 22 },
            environment: Vec::new(),
            tools: "/opt/rave/tools".into(),
            authorized_keys: Vec::new(),
            gateway_names: Vec::new(),
            certificates: Vec::new(),
            claude_at_first_boot: false,
            features: BTreeSet::new(),
            version: VERSION.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_a_port_and_nothing_else_has() {
        let ports = GuestConfig::default().services;
        for service in crate::assets::SERVICES {
            assert!(ports.get(service.name).is_some(), "{}", service.name);
        }
        assert_eq!(ports.get("sshd"), None);
    }

    #[test]
    fn json_round_trip_keeps_every_field() {
        let config = GuestConfig {
            hardened: true,
            claude_at_first_boot: true,
            features: ["desktop".into(), "sound".into()].into(),
            environment: vec![("A".into(), "x \"y\" $z".into()), ("B".into(), String::new())],
            ..GuestConfig::default()
        };
        assert_eq!(GuestConfig::from_json(&config.to_json()).unwrap(), config);
    }
}
