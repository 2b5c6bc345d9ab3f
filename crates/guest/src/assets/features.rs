//! What each feature of a profile adds. Names are those of `rave.toml`'s profiles; a base adds the packages.

use super::render::Template;
use super::{GuestFile, Paths, desktop, playwright};
use crate::config::GuestConfig;

/// Xfce that logs the user in by itself, Chromium, `NetworkManager`.
pub const DESKTOP: &str = "desktop";
/// Sound in programs and on the desktop.
pub const SOUND: &str = "sound";
/// The desktop over VNC, on loopback.
pub const VNC: &str = "vnc";
/// Playwright, which drives the system's Chromium.
pub const PLAYWRIGHT: &str = "playwright";

/// TCP port of the VNC server in the guest: display 0 by RFC 6143, section 1.
pub const VNC_PORT: u16 = 5900;

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
        // The session, not the user's manager, has a screen to offer.
        GuestFile::file(
            "/etc/xdg/autostart/rave-vnc.desktop",
            0o644,
            include_str!("../../assets/vnc/rave-vnc.desktop"),
        ),
    ]
}
