//! How the machine's screen is shown, and how to connect to it.

use std::env;
use std::net::{IpAddr, Ipv4Addr};

use rave_host::Needs;
use rave_vm::machine::{Display, DisplayServer, Password, VNC_BASE};
use rave_vm::ports::{self, PortPolicy};
use rave_vm::qemu::{Offers, Qemu};

use crate::cli::{self, Gui};
use crate::command_error::CommandError;
use crate::host;
use crate::settings::Settings;
use crate::ui::Ui;

/// The usual port of SPICE servers; QEMU has no default.
const SPICE_BASE: u16 = 5930;

/// How the screen is shown; a server has no port yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Headless,
    Gtk,
    Sdl,
    Vnc,
    Spice,
}

/// How the screen will be shown.
#[derive(Debug)]
pub(super) struct Screen {
    kind: Kind,
    /// The clipboard is shared.
    pub(super) clipboard: bool,
}

impl Screen {
    /// `--headless`, `--gui`, or what suits this session. The packages for `--gui` are installed if the user agrees.
    pub(super) fn choose(args: &cli::Run, settings: &Settings, qemu: &Qemu, ui: &Ui) -> anyhow::Result<Self> {
        let wants_terminal = args.ssh || args.exec.is_some() || args.detach;
        let kind = match args.gui {
            None if args.headless || wants_terminal || !has_display() => Kind::Headless,
            None | Some(Gui::Auto) => automatic(settings, qemu, ui)?,
            Some(Gui::Gtk) => {
                needs_display("gtk")?;
                host::ensure(settings, ui, Needs::Gtk)?;
                Kind::Gtk
            }
            Some(Gui::Sdl) => {
                needs_display("sdl")?;
                host::ensure(settings, ui, Needs::Sdl)?;
                Kind::Sdl
            }
            Some(Gui::Vnc) => Kind::Vnc,
            Some(Gui::Spice) => {
                host::ensure(settings, ui, Needs::Spice)?;
                Kind::Spice
            }
        };
        Ok(Self { kind, clipboard: args.clipboard && has_clipboard(kind, qemu, ui)? })
    }

    /// The display; a server gets a port that is free now.
    pub(super) fn display(&self) -> anyhow::Result<Display> {
        Ok(match self.kind {
            Kind::Headless => Display::Headless,
            Kind::Gtk => Display::Gtk,
            Kind::Sdl => Display::Sdl,
            Kind::Vnc => Display::Vnc(server("vnc", VNC_BASE)?),
            Kind::Spice => Display::Spice(server("spice", SPICE_BASE)?),
        })
    }
}

/// Whether the clipboard is to be shared; an error if that is not possible.
fn has_clipboard(kind: Kind, qemu: &Qemu, ui: &Ui) -> anyhow::Result<bool> {
    let has = match kind {
        Kind::Headless | Kind::Sdl => false,
        Kind::Spice => true,
        Kind::Gtk | Kind::Vnc => offers(qemu)?.clipboard(),
    };
    if !has {
        ui.warn("--clipboard: this display, or this QEMU, shares none");
    }
    Ok(has)
}

/// A window if one is available, otherwise VNC with a note that says why.
fn automatic(settings: &Settings, qemu: &Qemu, ui: &Ui) -> anyhow::Result<Kind> {
    if !has_display() {
        ui.note("no window without a display: serving the screen by VNC");
        return Ok(Kind::Vnc);
    }
    if let Some(window) = window(&offers(qemu)?) {
        return Ok(window);
    }
    if settings.yes {
        host::ensure(settings, ui, Needs::Gtk)?;
        return Ok(Kind::Gtk);
    }
    ui.note("this QEMU opens no windows, `--gui gtk` says how to change that: serving the screen by VNC");
    Ok(Kind::Vnc)
}

/// Lines that say how to connect to a served screen. The password is only valid for this run.
pub(super) fn how_to_connect(display: &Display) -> Vec<String> {
    let (kind, command, server) = match display {
        Display::Headless | Display::Gtk | Display::Sdl => return Vec::new(),
        Display::Vnc(server) => ("VNC", format!("vncviewer {}::{}", server.bind, server.port), server),
        Display::Spice(server) => {
            ("SPICE", format!("remote-viewer spice://{}:{}", server.bind, server.port), server)
        }
    };
    vec![
        format!("screen ({kind}): {command}"),
        format!("its password, for this run only: {}", server.password.as_str()),
    ]
}

/// A window that this QEMU can open.
fn window(offers: &Offers) -> Option<Kind> {
    if offers.display("gtk") {
        Some(Kind::Gtk)
    } else if offers.display("sdl") {
        Some(Kind::Sdl)
    } else {
        None
    }
}

fn offers(qemu: &Qemu) -> anyhow::Result<Offers> {
    Ok(qemu.offers()?)
}

/// Whether this session has somewhere to open a window.
fn has_display() -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn needs_display(gui: &str) -> anyhow::Result<()> {
    if has_display() {
        return Ok(());
    }
    Err(CommandError::host_not_ready(format!("--gui {gui}: this session has no display to open a window on"))
        .detail("neither WAYLAND_DISPLAY nor DISPLAY is set")
        .remedy("serve the screen instead: --gui vnc")
        .into())
}

/// A server on the loopback address: on its usual port, otherwise on any free one.
fn server(name: &str, usual: u16) -> anyhow::Result<DisplayServer> {
    let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = ports::host_port(name, PortPolicy::FixedOrFree(usual)).map_err(rave_vm::Error::from)?;
    let password = Password::random()
        .map_err(|error| CommandError::host_not_ready(format!("/dev/urandom gives no password: {error}")))?;
    Ok(DisplayServer { bind, port, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gtk_is_preferred_to_sdl_and_curses_is_not_a_window() {
        let of = |kinds: &[&str]| {
            let displays = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            window(&Offers { displays, ..Offers::default() })
        };
        assert_eq!(of(&["none", "sdl", "gtk"]), Some(Kind::Gtk));
        assert_eq!(of(&["sdl"]), Some(Kind::Sdl));
        assert_eq!(of(&["none", "curses"]), None);
    }

    #[test]
    fn a_served_screen_shows_viewer_address_and_password() {
        let server = server("vnc", VNC_BASE).unwrap();
        let (port, password) = (server.port, server.password.as_str().to_owned());
        assert!(port >= VNC_BASE);
        assert_eq!(
            how_to_connect(&Display::Vnc(server.clone())),
            [
                format!("screen (VNC): vncviewer 127.0.0.1::{port}"),
                format!("its password, for this run only: {password}")
            ]
        );
        assert_eq!(
            how_to_connect(&Display::Spice(server))[0],
            format!("screen (SPICE): remote-viewer spice://127.0.0.1:{port}")
        );
        assert!(how_to_connect(&Display::Gtk).is_empty());
    }
}
