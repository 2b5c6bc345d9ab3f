//! `cargo xtask release --from-parts`: signs parts that other hosts built.

use std::collections::BTreeSet;

use rave_release::cut::{self, Plan, ReleasePart};
use rave_spec::Base;

use super::contents::Contents;
use super::order::Order;
use super::plan::{self, Scope};
use super::{outcome, passphrase, preflight};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

/// Checks, plans, and joins.
pub(super) fn run(args: &Order<'_>, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let parts = args.from_parts.iter().map(|folder| ReleasePart::read(folder));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let rows = preflight::rows(args, settings, &Contents::of_parts(&parts), &[], ui);
    if args.dry_run {
        preflight::show(&rows, ui);
    }
    preflight::require(&rows)?;
    let plan = plan(args, settings, &parts)?;
    let bare = parts.iter().find(|part| !part.has_inputs());
    if let Some(part) = bare.filter(|_| !args.no_inputs && plan.base == Base::Debian) {
        ui.warn(&format!("the release gets no archive of inputs: {} has none", part.folder()));
    }
    if args.dry_run {
        plan::show_parts(&plan, settings, ui);
        return Ok(Code::Ok);
    }
    preflight::report(&rows, ui);
    let key = passphrase::open(args, ui)?;
    let finished = cut::join(&plan, &parts, &key, &plan::now, &ui.sink())?;
    outcome::report(&finished, &plan, settings, ui);
    Ok(Code::Ok)
}

fn plan(args: &Order<'_>, settings: &Settings, parts: &[ReleasePart]) -> anyhow::Result<Plan> {
    let limit = parts[0].part_limit();
    if parts.iter().any(|part| part.part_limit() != limit) {
        return Err(CommandError::usage("the parts were made with different --part-size")
            .remedy("build them with the same")
            .into());
    }
    let own_settings: BTreeSet<&String> = parts.iter().flat_map(ReleasePart::own_settings).collect();
    let scope = Scope {
        profiles: parts.iter().flat_map(ReleasePart::profiles).collect(),
        // A single part without a second build makes this false for the release.
        second_build: parts.iter().all(ReleasePart::second_build),
        part_limit: limit,
        own_settings: own_settings.into_iter().cloned().collect(),
        has_claude: parts.iter().any(ReleasePart::has_claude),
        // An archive of some profiles would not rebuild the others.
        inputs: parts.iter().all(ReleasePart::has_inputs),
    };
    plan::plan(args, settings, scope)
}
