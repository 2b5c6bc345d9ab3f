//! `cargo xtask release`: from a clean checkout to a folder that can be published as it is.

pub mod keys;
mod order;
mod passphrase;
mod plan;
mod preflight;
mod workshop;

use rave_release::cut::{self, Finished};
use rave_release::key::LockedKey;

use crate::build;
use crate::cli;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;
use order::Order;
pub use plan::now;
use workshop::RealWorkshop;

/// Runs the command.
pub fn run(args: &cli::Release, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let args = &Order::of(&args.cut)?;
    let profiles = plan::profiles(args, settings)?;
    let rows = preflight::rows(args, settings, &profiles, ui);
    if args.dry_run {
        preflight::show(&rows, ui);
    }
    preflight::require(&rows)?;
    let plan = plan::plan(args, settings, &profiles)?;
    if args.dry_run {
        plan::show(&plan, &profiles, ui);
        return Ok(Code::Ok);
    }
    preflight::tell(&rows, ui);
    build::tell_base(settings, ui);
    let locked = LockedKey::read(args.key)?;
    let key =
        locked.unlock(&passphrase::of(&args.passphrase, &format!("passphrase of {}", args.key), ui)?)?;
    let workshop = RealWorkshop { args, profiles: &profiles, plan: &plan, ui };
    let finished = cut::cut(&plan, &workshop, &key, &ui.sink())?;
    show(&finished, &plan, ui);
    Ok(Code::Ok)
}

fn show(finished: &Finished, plan: &cut::Plan, ui: &Ui) {
    let row = |stage: &cut::StageTime| {
        let seconds = format!("{:.1}", stage.seconds);
        vec![stage.name.clone(), seconds, if stage.reused { "kept" } else { "done" }.to_owned()]
    };
    if !finished.stages.is_empty() {
        let rows: Vec<_> = finished.stages.iter().map(row).collect();
        ui.table(&["stage", "seconds", "result"], &rows);
    }
    ui.data(plan.out.as_str());
}
