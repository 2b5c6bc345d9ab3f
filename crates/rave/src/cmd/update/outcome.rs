//! The summary line for a lock.

use crate::ui::Ui;

/// Reports whether a lock was updated, or would be.
pub(super) fn report(file: &str, same: bool, summary: &str, dry_run: bool, ui: &Ui) {
    let verb = if dry_run { "would be updated" } else { "is updated" };
    ui.note(&if same { format!("{file}: nothing changed") } else { format!("{file} {verb}: {summary}") });
}
