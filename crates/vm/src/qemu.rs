//! The QEMU of this host: its path and version.

mod facts;
mod version;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Cmd, find_program};

use crate::Error;
use crate::fence::Fencer;
use crate::machine::Arch;

pub use facts::{Build, Facts};
pub use version::{OLDEST, QemuVersion};

/// How long `qemu --version` may take on a machine under load.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// A QEMU that was found and reported its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// Its program.
    pub program: Utf8PathBuf,
    /// Its version, at least [`OLDEST`].
    pub version: QemuVersion,
    /// The program that fences it; needed for fenced machines.
    pub fencer: Option<Fencer>,
}

impl Qemu {
    /// Finds the system emulator for `arch` on PATH.
    pub fn find(arch: Arch) -> Result<Self, Error> {
        let name = arch.qemu_name();
        let program = find_program(name).ok_or_else(|| Error::QemuMissing { program: name.to_owned() })?;
        Self::at(&program)
    }

    /// Uses the emulator at this path, if it is new enough.
    pub fn at(program: &Utf8Path) -> Result<Self, Error> {
        let command = Cmd::new(program.as_std_path()).arg("--version").timeout(VERSION_DEADLINE);
        let output = command.output().map_err(|error| match error {
            rave_process::Error::NotFound { program } => Error::QemuMissing { program },
            other => Error::Process { doing: "asking QEMU for its version", source: Box::new(other) },
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(version) = QemuVersion::parse(&text) else {
            let printed = text.lines().next().unwrap_or_default().to_owned();
            return Err(Error::QemuUnknown { program: program.to_owned(), printed });
        };
        if version < OLDEST {
            return Err(Error::QemuTooOld { program: program.to_owned(), found: version, needed: OLDEST });
        }
        Ok(Self { program: program.to_owned(), version, fencer: None })
    }

    /// The same QEMU, for fenced machines too.
    #[must_use]
    pub fn fenced_by(self, fencer: Fencer) -> Self {
        Self { fencer: Some(fencer), ..self }
    }

    /// Whether it can emulate this device.
    pub fn has_device(&self, name: &str) -> Result<bool, Error> {
        let command = Cmd::new(self.program.as_std_path()).args(["-device", &format!("{name},help")]);
        match command.timeout(VERSION_DEADLINE).output() {
            Ok(_) => Ok(true),
            Err(rave_process::Error::Failed { .. }) => Ok(false),
            Err(error) => Err(Error::process("asking QEMU for a device")(error)),
        }
    }

    /// What this build supports, including modules installed separately.
    pub fn offers(&self) -> Result<Offers, Error> {
        let ask = |option: &str| {
            let command =
                Cmd::new(self.program.as_std_path()).args([option, "help"]).timeout(VERSION_DEADLINE);
            command.output().map_err(Error::process("asking QEMU what it offers"))
        };
        Ok(Offers { displays: listed(&ask("-display")?.text()), chardevs: listed(&ask("-chardev")?.text()) })
    }
}

/// Optional features of QEMU: they are chosen when QEMU is built, and packaged separately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// The kinds of display: `gtk`, `sdl`, `none`, ...
    pub displays: Vec<String>,
    /// The built-in backends of character devices.
    pub chardevs: Vec<String>,
}

impl Offers {
    /// Whether it supports this kind of window: `gtk`, `sdl`.
    pub fn display(&self, name: &str) -> bool {
        self.displays.iter().any(|kind| kind == name)
    }

    /// Whether it can serve SPICE: the display that starts a SPICE viewer is built together with the server.
    pub fn spice(&self) -> bool {
        self.display("spice-app")
    }

    /// Whether it can share a clipboard with displays other than SPICE.
    pub fn clipboard(&self) -> bool {
        self.chardevs.iter().any(|kind| kind == "qemu-vdagent")
    }
}

/// The words that `help` lists: a heading, one kind per line, then perhaps a paragraph about something else.
fn listed(text: &str) -> Vec<String> {
    let kinds = text.lines().skip(1).take_while(|line| !line.trim().is_empty());
    kinds.map(|line| line.trim().to_owned()).collect()
}

/// The path of `qemu-img`, which belongs to the same release as the emulator.
pub(crate) fn qemu_img() -> Result<Utf8PathBuf, Error> {
    find_program("qemu-img").ok_or_else(|| Error::QemuMissing { program: "qemu-img".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_lines_after_the_heading() {
        let displays = "Available display backend types:\nnone\ngtk\nspice-app\n\nSome display backends support suboptions\n";
        let chardevs = "Available chardev backend types: \n  stdio\n  qemu-vdagent\n";
        let offers = Offers { displays: listed(displays), chardevs: listed(chardevs) };
        assert_eq!(offers.displays, ["none", "gtk", "spice-app"]);
        assert!(offers.display("gtk") && !offers.display("sdl") && offers.spice() && offers.clipboard());
        let none = Offers { displays: listed(""), chardevs: listed("") };
        assert_eq!(none, Offers::default());
        assert!(!none.spice() && !none.clipboard());
    }
}
