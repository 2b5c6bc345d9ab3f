//! Durations and sizes of a finished release, or part of one.

use rave_release::cut::{Finished, Plan, StageTime};

use super::last_run::{self, LastRun};
use crate::settings::Settings;
use crate::ui::Ui;

/// Saves and shows them.
pub(super) fn report(finished: &Finished, plan: &Plan, settings: &Settings, ui: &Ui) {
    if !finished.stages.is_empty() {
        let mut last = LastRun::read(&settings.state_dir);
        last.add(finished);
        if let Err(error) = last.save(&settings.state_dir) {
            ui.warn(&format!("the times of this release are not kept for --dry-run: {error}"));
        }
        ui.table(&["stage", "seconds", "MiB", "result"], &summary(finished));
    }
    ui.data(plan.out.as_str());
}

/// One row per stage, with a profile's size beside the stage that names its files, and the total.
fn summary(finished: &Finished) -> Vec<Vec<String>> {
    let mebibytes = |bytes: u64| (bytes >> 20).to_string();
    let size = |stage: &StageTime| {
        let profile = stage.name.strip_prefix("pack ").or_else(|| stage.name.strip_prefix("take "))?;
        finished.profiles.iter().find(|one| one.profile == profile).map(last_run::size)
    };
    let row = |stage: &StageTime| {
        let result = if stage.reused { "kept" } else { "done" };
        let size = size(stage).map(mebibytes).unwrap_or_default();
        vec![stage.name.clone(), format!("{:.1}", stage.seconds), size, result.to_owned()]
    };
    let mut rows: Vec<_> = finished.stages.iter().map(row).collect();
    let seconds: f64 = finished.stages.iter().map(|stage| stage.seconds).sum();
    let all = mebibytes(finished.profiles.iter().map(last_run::size).sum());
    let names: Vec<&str> = finished.profiles.iter().map(|one| one.profile.as_str()).collect();
    rows.push(vec!["all".into(), format!("{seconds:.1}"), all, names.join(", ")]);
    rows
}
