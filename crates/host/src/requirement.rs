//! A requirement of the host: how to detect it, and which package provides it.

use crate::package_manager::Manager;
use crate::version::ProgramVersion;

/// The part of the work that needs a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Building an image.
    Build,
    /// Building an image of the NixOS base.
    Nixos,
    /// Booting an image and connecting to it.
    Boot,
    /// A desktop in the guest.
    Desktop,
    /// Building an ISO.
    Iso,
    /// Compressing to `.img.zst`.
    Zst,
    /// `run --gui gtk`.
    Gtk,
    /// `run --gui sdl`.
    Sdl,
    /// `run --gui spice`.
    Spice,
    /// Only tests: one that lacks a requirement says so and passes.
    Test,
}

impl Part {
    /// Its name in doctor's table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Nixos => "nixos",
            Self::Boot => "boot",
            Self::Desktop => "desktop",
            Self::Iso => "iso",
            Self::Zst => "zst",
            Self::Gtk => "gtk",
            Self::Sdl => "sdl",
            Self::Spice => "spice",
            Self::Test => "test",
        }
    }
}

/// A requirement that a package provides.
#[derive(Debug)]
pub struct Requirement {
    /// The program, or another name.
    pub name: &'static str,
    /// Its purpose.
    pub why: &'static str,
    pub probe: Probe,
    pub packages: Packages,
    pub parts: &'static [Part],
}

/// How to detect a requirement.
#[derive(Debug)]
pub enum Probe {
    /// A program with the requirement's name, of any version.
    Program,
    /// The same with a minimal version, which it prints when called with `argument`.
    Versioned { argument: &'static str, minimal: ProgramVersion },
    /// `mke2fs` of this version, which must actually accept a tar.
    TarMke2fs { minimal: ProgramVersion },
    /// A device that QEMU can emulate.
    QemuDevice(&'static str),
    /// A kind of display that QEMU can open.
    QemuDisplay(&'static str),
    /// OVMF's code and variables, as `rave_vm` finds them.
    UefiFirmware,
    /// At least one of these files.
    File { any_of: &'static [&'static str] },
    /// At least one of these programs.
    AnyProgram { of: &'static [&'static str] },
}

/// The suite from which apt installs a package, on Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// The release itself.
    Release,
    /// Backports on these releases (`VERSION_ID`), whose own version is too old.
    BackportsOn(&'static [&'static str]),
    /// The suite of QEMU's other parts: they only work together in the same version.
    Qemu,
}

/// The package name for each manager; empty if none is known.
#[derive(Debug)]
pub struct Packages {
    pub apt: &'static str,
    pub suite: Suite,
    pub dnf: &'static str,
    pub pacman: &'static str,
    pub zypper: &'static str,
    pub brew: &'static str,
    /// Units that Debian's package starts and enables, although only its program is needed.
    pub units: &'static [&'static str],
}

impl Packages {
    pub(crate) const fn with_units(self, units: &'static [&'static str]) -> Self {
        Self { units, ..self }
    }

    pub fn of(&self, manager: Manager) -> Option<&'static str> {
        let name = match manager {
            Manager::Apt => self.apt,
            Manager::Dnf => self.dnf,
            Manager::Pacman => self.pacman,
            Manager::Zypper => self.zypper,
            Manager::Brew => self.brew,
        };
        (!name.is_empty()).then_some(name)
    }
}

pub(crate) const fn packages(
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    zypper: &'static str,
    brew: &'static str,
) -> Packages {
    Packages { apt, suite: Suite::Release, dnf, pacman, zypper, brew, units: &[] }
}

/// A package of QEMU.
pub(crate) const fn qemu(
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    zypper: &'static str,
) -> Packages {
    Packages { apt, suite: Suite::Qemu, dnf, pacman, zypper, brew: "qemu", units: &[] }
}
