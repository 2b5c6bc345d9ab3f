//! The files of each feature of a profile; a base adds the packages.

use super::render::Template;
use super::{GuestFile, Paths, cloud, desktop, playwright};
use crate::config::GuestConfig;
use crate::features::{CLOUD, DESKTOP, PLAYWRIGHT, VNC, VNC_PORT};

pub(super) fn files(template: &Template, config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    let mut files = Vec::new();
    if config.has(DESKTOP) {
        files.extend(desktop::files(template, config));
    }
    if config.has(VNC) {
        files.extend(vnc(template));
    }
    if config.has(PLAYWRIGHT) {
        files.extend(playwright::files(paths));
    }
    if config.has(CLOUD) {
        files.extend(cloud::files(template, config));
    }
    files
}

fn vnc(template: &Template) -> [GuestFile; 2] {
    let port = VNC_PORT.to_string();
    let unit = include_str!("../../assets/vnc/rave-vnc.service");
    [
        GuestFile::file(
            "/etc/systemd/user/rave-vnc.service",
            0o644,
            template.fill_with(unit, &[("vnc_port", &port)]),
        ),
        // The session has a screen to share, unlike the user's manager.
        GuestFile::file(
            "/etc/xdg/autostart/rave-vnc.desktop",
            0o644,
            include_str!("../../assets/vnc/rave-vnc.desktop"),
        ),
    ]
}
