//! What one requirement of the host is: how it is seen to be there, and which package brings it.

use crate::package_manager::Manager;
use crate::version::ProgramVersion;

/// Which part of the work needs a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Making an image.
    Build,
    /// Making one of the NixOS base.
    Nixos,
    /// Booting one and reaching it.
    Boot,
    /// A desktop in the guest.
    Desktop,
    /// Making an ISO.
    Iso,
    /// Making an `.img.zst`.
    Zst,
    /// `run --gui gtk`.
    Gtk,
    /// `run --gui sdl`.
    Sdl,
    /// `run --gui spice`.
    Spice,
    /// Tests only: one that lacks something of these says so and passes.
    Test,
}

impl Part {
    /// As doctor's table calls it.
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

/// One thing that a package brings.
#[derive(Debug)]
pub struct Requirement {
    /// The program, or what else it is.
    pub name: &'static str,
    /// What it is for.
    pub why: &'static str,
    pub probe: Probe,
    pub packages: Packages,
    pub parts: &'static [Part],
}

/// How it is seen that the thing is there.
#[derive(Debug)]
pub enum Probe {
    /// A program of the requirement's name, of any version.
    Program,
    /// The same, which prints its version when called with `argument`.
    Versioned { argument: &'static str, minimal: ProgramVersion },
    /// `mke2fs` of this version, which must really take a tar.
    TarMke2fs { minimal: ProgramVersion },
    /// A device that QEMU can emulate.
    QemuDevice(&'static str),
    /// A kind of display that QEMU can open.
    QemuDisplay(&'static str),
    /// OVMF's code and variables, as `rave_vm` looks for them.
    UefiFirmware,
    /// At least one of these files.
    File { any_of: &'static [&'static str] },
    /// At least one of these programs.
    AnyProgram { of: &'static [&'static str] },
}

/// Where apt takes a package from, on Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// From the release itself.
    Release,
    /// From backports on these releases (`VERSION_ID`), whose own version is too old.
    BackportsOn(&'static [&'static str]),
    /// From where QEMU's other parts are, or will be: they fit one another in one version only.
    Qemu,
}

/// The package for each manager; empty where none is known.
#[derive(Debug)]
pub struct Packages {
    pub apt: &'static str,
    pub suite: Suite,
    pub dnf: &'static str,
    pub pacman: &'static str,
    pub zypper: &'static str,
    pub brew: &'static str,
    /// Units that Debian's package starts and enables. Of it only the program is wanted here.
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

/// A part of QEMU.
pub(crate) const fn qemu(
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    zypper: &'static str,
) -> Packages {
    Packages { apt, suite: Suite::Qemu, dnf, pacman, zypper, brew: "qemu", units: &[] }
}
