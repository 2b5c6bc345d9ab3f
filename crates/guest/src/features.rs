//! The names of features, as in the profiles of `rave.toml`.

/// Xfce with automatic login, Chromium, `NetworkManager`.
pub const DESKTOP: &str = "desktop";
/// Sound in programs and on the desktop.
pub const SOUND: &str = "sound";
/// The desktop over VNC, on loopback.
pub const VNC: &str = "vnc";
/// Playwright, which drives the system's Chromium.
pub const PLAYWRIGHT: &str = "playwright";

/// cloud-init and the hypervisors' agents.
pub const CLOUD: &str = "cloud";

/// TCP port of the VNC server in the guest: display 0 by RFC 6143, section 1.
pub const VNC_PORT: u16 = 5900;
