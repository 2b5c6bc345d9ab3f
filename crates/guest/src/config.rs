//! `/etc/rave/guest.json`: the guest's configuration for its programs.

use std::collections::BTreeSet;

use crate::features;
use serde::{Deserialize, Serialize};

/// The path of the guest's configuration inside the guest.
pub const PATH: &str = "/etc/rave/guest.json";

/// The configuration of a guest, as the image was built. The caller has validated all values (as `rave-spec` does):
/// names are valid, ports are unique, and no value of `environment` contains a newline or a NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestConfig {
    /// The login name of the user that agents and services run as.
    pub user: String,
    /// That user's home, as an absolute path.
    pub home: String,
    /// The static host name.
    pub host_name: String,
    /// If true, SSH only accepts keys; otherwise the user may also log in with a password.
    pub hardened: bool,
    /// The ports of the services inside the guest.
    pub services: GuestPorts,
    /// Variables for the user's shells and for services, in order.
    pub environment: Vec<(String, String)>,
    /// The folder of the npm tools' `node_modules` and `bin`.
    pub tools: String,
    /// Public keys that may log in as the user, as lines of `authorized_keys` (sshd(8)).
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// Host names of the gateway's pages, in addition to those that nobody else can own.
    #[serde(default)]
    pub gateway_names: Vec<String>,
    /// Names of files with certificates that the guest trusts in addition to those of public authorities.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Whether Claude Code is not in the image, but installed by the guest once it has a network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claude_at_first_boot: bool,
    /// The guest's features, in addition to the common content: names of [`features`](crate::features).
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
    /// The guest of an unchanged `rave.toml`, for tests: this crate cannot read that file, so a test of `rave-image`
    /// compares them.
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
    fn only_services_have_ports() {
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
