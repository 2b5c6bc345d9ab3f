//! `cargo xtask release`: from a clean checkout to a folder that can be published as it is.

mod builder;
mod contents;
mod found;
mod from_parts;
pub(super) mod inputs;
pub mod keys;
mod last_run;
mod order;
mod outcome;
mod passphrase;
pub(super) mod plan;
mod preflight;
pub(super) mod space;
pub(super) mod workshop;

use rave_release::cut;

use crate::build;
use crate::cli;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;
use contents::Contents;
use order::Order;
pub use plan::now;
use workshop::RealWorkshop;

/// Runs the command.
pub fn run(args: &cli::Release, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let args = &Order::of(&args.cut)?;
    if !args.from_parts.is_empty() {
        return from_parts::run(args, settings, ui);
    }
    let profiles = plan::profiles(args, settings)?;
    let rows = preflight::rows(args, settings, &Contents::of_profiles(args, &profiles)?, &profiles, ui);
    if args.dry_run {
        preflight::show(&rows, ui);
    }
    preflight::require(&rows)?;
    let plan = plan::plan(args, settings, plan::scope(args, &profiles)?)?;
    if args.dry_run {
        plan::show(&plan, &profiles, args.unsigned, ui);
        return Ok(Code::Ok);
    }
    preflight::report(&rows, ui);
    build::report_base(settings, ui);
    let workshop = RealWorkshop { args, profiles: &profiles, plan: &plan, ui };
    let finished = if args.unsigned {
        cut::part(&plan, &workshop, &ui.sink())?
    } else {
        let key = passphrase::open(args, ui)?;
        cut::cut(&plan, &workshop, &key, &ui.sink())?
    };
    outcome::report(&finished, &plan, settings, ui);
    Ok(Code::Ok)
}
