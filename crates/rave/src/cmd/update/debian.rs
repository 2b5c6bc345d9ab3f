//! Updates `debian.lock` from the archive.

use rave_image::bases::debian::lock::{FILE, Lock};
use rave_image::bases::debian::update::{self, ChangeKind, PackageChange, UpdateRequest};

use super::outcome::report;
use crate::settings::Settings;
use crate::ui::Ui;

pub(super) fn run(dry_run: bool, settings: &Settings, ui: &Ui) -> anyhow::Result<()> {
    // An update replaces an unreadable lock.
    let old = match Lock::read(&settings.root) {
        Ok(lock) => Some(lock),
        Err(error) => {
            ui.note(&format!("{error}; a new one is made"));
            None
        }
    };
    let shipped = settings.shipped()?;
    let request = UpdateRequest {
        spec: &shipped.spec,
        cache_dir: &settings.cache_dir,
        log_dir: &settings.state_dir.join("logs"),
    };
    let renewed = update::renew(&request, &ui.sink())?;
    let changes = update::changes(old.as_ref(), &renewed);
    if old.is_some() {
        show(&changes, ui);
    }
    report(FILE, old.as_ref() == Some(&renewed.lock), &summary(&changes), dry_run, ui);
    if !dry_run {
        renewed.lock.write(&settings.root)?;
    }
    Ok(())
}

fn show(changes: &[PackageChange], ui: &Ui) {
    if changes.is_empty() {
        return;
    }
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
    let row = |change: &PackageChange| {
        vec![
            change.name.clone(),
            version(&change.old),
            version(&change.new),
            kind_name(change.kind).to_owned(),
        ]
    };
    ui.table(&["package", "old", "new", "what"], &changes.iter().map(row).collect::<Vec<_>>());
}

fn kind_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Security => "security fix",
        ChangeKind::Newer => "newer",
        ChangeKind::Older => "older",
        ChangeKind::Rebuilt => "other bytes",
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
    }
}

fn summary(changes: &[PackageChange]) -> String {
    const KINDS: [ChangeKind; 6] = [
        ChangeKind::Security,
        ChangeKind::Newer,
        ChangeKind::Older,
        ChangeKind::Rebuilt,
        ChangeKind::Added,
        ChangeKind::Removed,
    ];
    let count = |kind: &ChangeKind| changes.iter().filter(|change| change.kind == *kind).count();
    let counts = KINDS.iter().map(|kind| (count(kind), kind_name(*kind))).filter(|(count, _)| *count > 0);
    let parts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "no package, the archive's indexes alone".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_by_kind() {
        let change = |kind| PackageChange { name: String::new(), old: None, new: None, kind };
        let changes = [ChangeKind::Added, ChangeKind::Security, ChangeKind::Security].map(change);
        assert_eq!(summary(&changes), "2 security fix, 1 added");
        assert_eq!(summary(&[]), "no package, the archive's indexes alone");
    }
}
