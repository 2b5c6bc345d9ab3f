//! The line about a lock that was looked at.

use crate::ui::Ui;

/// Says whether a lock was renewed, or would be.
pub(super) fn tell(file: &str, same: bool, summary: &str, dry_run: bool, ui: &Ui) {
    let verb = if dry_run { "would be renewed" } else { "is renewed" };
    ui.note(&if same { format!("{file}: nothing changed") } else { format!("{file} {verb}: {summary}") });
}
