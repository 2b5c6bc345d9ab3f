//! Human-readable times, sizes and counts.

use std::time::Duration;

use rave_process::progress::{StageOutcome, Unit};

/// `0.3 s`, `41.0 s`, `2 min 05 s`.
pub(super) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// `12 of 191 packages`, `512.0 of 620.0 MiB`, `3 checks`.
pub(super) fn amount(done: u64, total: Option<u64>, unit: Unit) -> String {
    let (noun, show): (&str, fn(u64) -> String) = match unit {
        Unit::Bytes => ("MiB", mebibytes),
        Unit::Packages => ("packages", |count| count.to_string()),
        Unit::Checks => ("checks", |count| count.to_string()),
        Unit::Stages => ("stages", |count| count.to_string()),
        Unit::Builds => ("builds", |count| count.to_string()),
    };
    match total {
        Some(total) => format!("{} of {} {noun}", show(done), show(total)),
        None => format!("{} {noun}", show(done)),
    }
}

/// The line that stays when a stage is over.
pub(super) fn finished(stage: &str, time: Duration, outcome: StageOutcome, amount: Option<&str>) -> String {
    match (outcome, amount) {
        (StageOutcome::Reused, _) => format!("{stage}: reused"),
        (StageOutcome::Built, None) => format!("{stage}: done in {}", elapsed(time)),
        (StageOutcome::Built, Some(amount)) => format!("{stage}: done in {}, {amount}", elapsed(time)),
    }
}

#[allow(clippy::cast_precision_loss)] // shown with one decimal
fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_amounts_are_formatted_for_people() {
        assert_eq!(elapsed(Duration::from_millis(41_020)), "41.0 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(amount(12, Some(191), Unit::Packages), "12 of 191 packages");
        assert_eq!(amount(512 << 20, None, Unit::Bytes), "512.0 MiB");
    }

    #[test]
    fn a_reused_stage_is_reported_as_reused() {
        assert_eq!(finished("disk", Duration::ZERO, StageOutcome::Reused, None), "disk: reused");
        let line = finished("disk", Duration::from_secs(4), StageOutcome::Built, Some("4.0 MiB"));
        assert_eq!(line, "disk: done in 4.0 s, 4.0 MiB");
    }
}
