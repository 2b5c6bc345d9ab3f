//! The workspace of a sandbox: `push`, `pull`, `diff`, `apply`, `cp` and `trust`. None needs a checkout.

mod apply;
mod copy;
mod diff;
mod guest;
mod interactive;
pub(super) mod push;
pub(super) mod seen;
mod show;
pub(super) mod trust;

use crate::cli::Command;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs a command about workspaces; nothing for the others.
pub(super) fn run(command: &Command, ui: &Ui) -> Option<anyhow::Result<Code>> {
    Some(match command {
        Command::Push(args) => push::run(args, ui),
        Command::Pull(args) => diff::pull(args, ui),
        Command::Diff(args) => diff::run(args, ui),
        Command::Apply(args) => apply::run(args, ui),
        Command::Cp(args) => copy::run(args, ui),
        Command::Trust(args) => trust::run(args, ui),
        _ => return None,
    })
}
