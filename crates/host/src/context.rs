//! What of a command's settings decides what its host needs, and how its user is spoken to.

use camino::Utf8Path;
use rave_process::progress::{Event, Sink};
use rave_spec::{Base, Nixos};
use rave_vm::accel::Accelerator;

/// The settings that requirements depend on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What builds the disk.
    pub base: Base,
    /// Where versions of programs are remembered. May not exist yet.
    pub state_dir: &'a Utf8Path,
    /// Where packages and root filesystems go. May not exist yet.
    pub cache_dir: &'a Utf8Path,
    /// Where artifacts go. May not exist yet.
    pub out_dir: &'a Utf8Path,
    /// The accelerator that was asked for.
    pub accelerator: Option<Accelerator>,
    /// What is passed on to nix.
    pub nix: &'a Nixos,
}

/// Whether missing packages may be installed.
#[derive(Clone, Copy)]
pub enum Consent<'a> {
    /// Install without a question.
    Given,
    /// The answer to this question decides.
    Ask(&'a dyn Fn(&str) -> bool),
    /// Nobody is there to answer.
    Withheld,
}

/// How the user hears of the work, and answers.
#[derive(Clone, Copy)]
pub struct Dialog<'a> {
    /// Where stages, notes and warnings go.
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
