//! The parts of a command's settings that determine what its host needs, and how to interact with its user.

use camino::Utf8Path;
use rave_process::progress::{Event, Sink};
use rave_spec::{Base, Nixos};
use rave_vm::accel::Accelerator;

/// The settings that requirements depend on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the disk is built from.
    pub base: Base,
    /// The folder for the cache of program versions. May not exist yet.
    pub state_dir: &'a Utf8Path,
    /// The folder for packages and root filesystems. May not exist yet.
    pub cache_dir: &'a Utf8Path,
    /// The folder for artifacts. May not exist yet.
    pub out_dir: &'a Utf8Path,
    /// The requested accelerator.
    pub accelerator: Option<Accelerator>,
    /// The options that are passed to nix.
    pub nix: &'a Nixos,
}

/// Whether missing packages may be installed.
#[derive(Clone, Copy)]
pub enum Consent<'a> {
    /// Install without asking.
    Given,
    /// Ask this question.
    Ask(&'a dyn Fn(&str) -> bool),
    /// Nobody can answer a question.
    Withheld,
}

/// How to report to the user, and to ask.
#[derive(Clone, Copy)]
pub struct Dialog<'a> {
    /// The receiver of stages, notes and warnings.
    pub sink: Sink<'a>,
    /// Whether missing packages may be installed.
    pub consent: Consent<'a>,
}

impl Dialog<'_> {
    pub(crate) fn note(&self, text: &str) {
        (self.sink)(Event::Note { text });
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.sink)(Event::Warning { text });
    }
}
