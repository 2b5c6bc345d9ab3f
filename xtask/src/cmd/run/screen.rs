//! What the user sees of the machine.

use std::env;
use std::net::{IpAddr, Ipv4Addr};

use rave_vm::machine::{Display, VNC_BASE};
use rave_vm::ports::{self, PortRequest, Want};
use rave_vm::qemu::Qemu;

use super::failure;
use crate::cli;
use crate::ui::Ui;

/// `--headless`, `--gui`, or what suits this session.
pub(super) fn choose(args: &cli::Run, qemu: &Qemu, ui: &Ui) -> anyhow::Result<Display> {
    let has_display = ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    let wants_terminal = args.ssh || args.exec.is_some() || args.detach;
    if args.headless || (!args.gui && (!has_display || wants_terminal)) {
        return Ok(Display::Headless);
    }
    let offered = if has_display { qemu.displays().map_err(|error| failure(&error))? } else { Vec::new() };
    if let Some(window) = window(&offered) {
        return Ok(window);
    }
    let (bind, port) = (IpAddr::V4(Ipv4Addr::LOCALHOST), vnc_port()?);
    let why = if has_display { "this QEMU has no window of its own" } else { "there is no display" };
    ui.note(&format!("{why}: the screen is at vnc://{bind}:{port}"));
    Ok(Display::Vnc { bind, port })
}

/// A window that this QEMU can open.
fn window(offered: &[String]) -> Option<Display> {
    let has = |name: &str| offered.iter().any(|kind| kind == name);
    if has("gtk") {
        Some(Display::Gtk)
    } else if has("sdl") {
        Some(Display::Sdl)
    } else {
        None
    }
}

/// The port of the first VNC display, else any free one.
fn vnc_port() -> anyhow::Result<u16> {
    let request = PortRequest {
        name: "vnc".to_owned(),
        bind: Ipv4Addr::LOCALHOST.into(),
        want: Want::FixedOrFree(VNC_BASE),
    };
    let resolved = ports::resolve(&[request]).map_err(|error| failure(&error.into()))?;
    Ok(resolved[0].port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gtk_comes_before_sdl_and_curses_is_no_window() {
        let of = |kinds: &[&str]| window(&kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["none", "sdl", "gtk"]), Some(Display::Gtk));
        assert_eq!(of(&["sdl"]), Some(Display::Sdl));
        assert_eq!(of(&["none", "curses"]), None);
    }
}
