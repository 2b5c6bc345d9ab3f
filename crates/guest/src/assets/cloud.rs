//! The files of the feature `cloud`: settings of cloud-init, and the order of its units and RAVE's.

use super::GuestFile;
use super::render::Template;
use crate::config::GuestConfig;

/// A unit and its drop-in.
const DROP_INS: [(&str, &str); 3] = [
    ("systemd-repart.service", include_str!("../../assets/cloud/repart.conf")),
    ("rave-ssh-keys.service", include_str!("../../assets/cloud/ssh-keys.conf")),
    ("setup-agent-environment.service", include_str!("../../assets/cloud/setup.conf")),
];

pub(super) fn files(template: &Template, config: &GuestConfig) -> Vec<GuestFile> {
    let text = include_str!("../../assets/cloud/cloud.cfg");
    let lock = config.hardened.to_string();
    let renderer = if config.has_network_manager() { "network-manager" } else { "networkd" };
    let settings = template.fill_with(text, &[("lock_password", &lock), ("network_renderer", renderer)]);
    let drop_in = |(unit, text): (&str, &str)| {
        GuestFile::file(format!("/etc/systemd/system/{unit}.d/rave-cloud.conf"), 0o644, text)
    };
    // The last file of the folder takes precedence.
    let mut files = vec![GuestFile::file("/etc/cloud/cloud.cfg.d/95_rave.cfg", 0o644, settings)];
    files.extend(DROP_INS.map(drop_in));
    files
}
