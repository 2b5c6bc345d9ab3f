//! `cargo xtask update`: updates the locks and prints the changes.

mod debian;
mod npm;
mod outcome;

use rave_host::Needs;

use crate::cli;
use crate::exit::Code;
use crate::host;
use crate::settings::Settings;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::Update, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    host::ensure(settings, ui, Needs::Image)?;
    let all = !args.debian && !args.npm;
    if args.debian || all {
        debian::run(args.dry_run, settings, ui)?;
    }
    if args.npm || all {
        npm::run(args.dry_run, settings, ui)?;
    }
    Ok(Code::Ok)
}
