//! What each command needs.

use rave_spec::Base;

use crate::requirement::Part;

/// What a command is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Build an image of the base.
    Image,
    /// Boot an image.
    Run,
    /// Build and boot an image.
    Smoke,
    /// Run a desktop in the guest, whose browser crashes under faulty emulation.
    Desktop,
    /// Run tests: one that lacks something says so and passes.
    Tests,
    /// Build an image in the format iso.
    Iso,
    /// Compress a raw disk as `.img.zst`.
    Zst,
    /// `run --gui` with this display.
    Gtk,
    /// The same with SDL.
    Sdl,
    /// The same with SPICE.
    Spice,
}

impl Needs {
    /// The parts that it needs. The NixOS base provides its own build tools.
    pub(crate) fn parts(self, base: Base) -> &'static [Part] {
        match self {
            Self::Image | Self::Iso | Self::Zst if base == Base::Nixos => &[],
            Self::Smoke if base == Base::Nixos => &[Part::Boot],
            Self::Image => &[Part::Build],
            Self::Run => &[Part::Boot],
            Self::Smoke => &[Part::Build, Part::Boot],
            Self::Desktop => &[Part::Desktop],
            // Examined separately, because they are optional.
            Self::Tests => &[],
            Self::Iso => &[Part::Iso],
            Self::Zst => &[Part::Zst],
            Self::Gtk => &[Part::Gtk],
            Self::Sdl => &[Part::Sdl],
            Self::Spice => &[Part::Spice],
        }
    }
}
