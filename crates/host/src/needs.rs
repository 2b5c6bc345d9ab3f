//! What each command needs.

use rave_spec::Base;

use crate::requirement::Part;

/// Which command is about to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// An image of the base.
    Image,
    /// Booting one.
    Run,
    /// Building and booting one.
    Smoke,
    /// A desktop in the guest, whose browser runs what a faulty emulation gets wrong.
    Desktop,
    /// What only tests use: a test that lacks something of it says so and passes.
    Tests,
    /// An image of the format iso.
    Iso,
    /// A raw disk as `.img.zst`.
    Zst,
    /// `run --gui` with this display.
    Gtk,
    /// The same with SDL.
    Sdl,
    /// The same with SPICE.
    Spice,
}

impl Needs {
    /// The NixOS base brings what it builds with.
    pub(crate) fn parts(self, base: Base) -> &'static [Part] {
        match self {
            Self::Image | Self::Iso | Self::Zst if base == Base::Nixos => &[],
            Self::Smoke if base == Base::Nixos => &[Part::Boot],
            Self::Image => &[Part::Build],
            Self::Run => &[Part::Boot],
            Self::Smoke => &[Part::Build, Part::Boot],
            Self::Desktop => &[Part::Desktop],
            // Looked at apart: they are optional.
            Self::Tests => &[],
            Self::Iso => &[Part::Iso],
            Self::Zst => &[Part::Zst],
            Self::Gtk => &[Part::Gtk],
            Self::Sdl => &[Part::Sdl],
            Self::Spice => &[Part::Spice],
        }
    }
}
