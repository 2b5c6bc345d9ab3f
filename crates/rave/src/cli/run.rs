//! The flags of `run`.

use clap::Args;
use rave_spec::Format;

use super::building::{Building, Target};
use super::network_flags::NetworkFlags;
use super::size::Size;
use super::values::{Accel, Firmware, Gui, KeepBase, PortFlag, format, parse_port};

/// `cargo xtask run`
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Run {
    /// Artifact to boot [default: the first of defaults.formats of rave.toml]
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    pub format: Option<Format>,
    /// Which image.
    #[command(flatten)]
    pub target: Target,
    /// No window; the serial console goes to a file (default without a display)
    #[arg(long, conflicts_with = "gui")]
    pub headless: bool,
    /// Show the screen in a window, or serve it on loopback; `auto` is gtk, otherwise sdl, otherwise vnc
    #[arg(long, value_name = "DISPLAY", num_args = 0..=1, default_missing_value = "auto")]
    pub gui: Option<Gui>,
    /// Share the clipboard with the screen: the guest can read everything you copy
    #[arg(long, conflicts_with = "headless")]
    pub clipboard: bool,
    /// Its memory and processors.
    #[command(flatten)]
    pub size: Size,
    /// Host port of a service, or `auto` for a free one; may be repeated
    #[arg(long = "port", value_name = "NAME=PORT|auto", value_parser = parse_port)]
    pub ports: Vec<PortFlag>,
    /// What it may reach.
    #[command(flatten)]
    pub reach: NetworkFlags,
    /// Leave the VM running in the background
    #[arg(long, conflicts_with_all = ["ssh", "exec"])]
    pub detach: bool,
    /// Keep what the guest writes to its disk for the next run
    #[arg(long)]
    pub keep: bool,
    /// With an older kept disk: boot it on the image it was created from, or start a new one
    #[arg(long, value_name = "WHICH", requires = "keep")]
    pub keep_base: Option<KeepBase>,
    /// Boot the existing artifact, even if it is older than the settings
    #[arg(long)]
    pub no_build: bool,
    /// Open a shell in the guest when it is ready
    #[arg(long)]
    pub ssh: bool,
    /// Run a command in the guest and exit with its code
    #[arg(long, value_name = "CMD", conflicts_with = "ssh")]
    pub exec: Option<String>,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
    /// Firmware to boot with [default: bios]
    #[arg(long, value_name = "NAME")]
    pub firmware: Option<Firmware>,
    /// How what is missing is built.
    #[command(flatten)]
    pub building: Building,
}
