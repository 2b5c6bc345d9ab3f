//! Measurements. Machines are shared and noisy: compare the ratio to a floor of the same run.

pub(crate) mod boot;
mod builder;
pub(crate) mod desktop;
pub(crate) mod first_run;
mod forks;
pub(crate) mod formats;
pub(crate) mod idle;
pub(crate) mod image;
mod memory;
pub(crate) mod mkosi;
pub(crate) mod network;
mod peer;
pub(crate) mod sandboxes;
pub(crate) mod tool;
pub(crate) mod verify;
pub(crate) mod workspace;

use std::time::Duration;

use serde::Serialize;

/// All rows of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The accelerator of the guests.
    accelerator: String,
    /// How often each boot was measured.
    pub(crate) runs: u32,
    rows: Vec<Row>,
    /// What was not measured, and why.
    pub(crate) notes: Vec<String>,
}

/// One measured quantity.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: Unit,
    /// Sorted.
    values: Vec<f64>,
    /// The median of the floor, in the same unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    /// The target: the maximum value, or the maximum ratio if there is a floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Mebibytes,
    /// A ratio of its own.
    Times,
}

impl Report {
    pub(crate) fn new(accelerator: String, runs: u32) -> Self {
        Self { accelerator, runs, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row without a floor.
    pub(crate) fn add(&mut self, what: impl Into<String>, unit: Unit, values: &[f64]) {
        self.push(what.into(), unit, values, None, None);
    }

    /// Adds a row that should stay at or below `target`.
    pub(crate) fn add_with_target(&mut self, what: &str, unit: Unit, values: &[f64], target: f64) {
        self.push(what.to_owned(), unit, values, None, Some(target));
    }

    /// Adds a row with its floor, and the target ratio of medians.
    pub(crate) fn add_beside(
        &mut self,
        what: &str,
        unit: Unit,
        values: &[f64],
        floor: &[f64],
        target: Option<f64>,
    ) {
        self.push(what.to_owned(), unit, values, Some(median(&sorted(floor))), target);
    }

    fn push(&mut self, what: String, unit: Unit, values: &[f64], floor: Option<f64>, target: Option<f64>) {
        self.rows.push(Row { what, unit, values: sorted(values), floor, target });
    }

    /// The rows of the table.
    pub(crate) fn table(&self) -> Vec<Vec<String>> {
        self.rows.iter().map(Row::cells).collect()
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let show = |value: f64| match self.unit {
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Milliseconds => format!("{value:.2} ms"),
            Unit::Mebibytes => format!("{value:.0} MiB"),
            Unit::Times => format!("{value:.2} x"),
        };
        let middle = median(&self.values);
        let (least, most) = (self.values.first().copied(), self.values.last().copied());
        let ratio = self.floor.map(|floor| middle / floor);
        let reached = ratio.unwrap_or(middle);
        let target = self.target.map(|target| {
            let verdict = if reached <= target { "reached" } else { "missed" };
            let target = if self.floor.is_some() { format!("{target:.2}") } else { show(target) };
            format!("{target} {verdict}")
        });
        vec![
            self.what.clone(),
            least.map(show).unwrap_or_default(),
            show(middle),
            most.map(show).unwrap_or_default(),
            self.floor.map(show).unwrap_or_default(),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            target.unwrap_or_default(),
        ]
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values; for an even number the mean of the middle two.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted {
        [] => f64::NAN,
        _ if sorted.len() % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// MiB, for a row.
#[expect(clippy::cast_precision_loss, reason = "bytes of an image stay far below 2^52")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Seconds, for a row.
pub(crate) fn seconds(durations: &[Duration]) -> Vec<f64> {
    durations.iter().map(Duration::as_secs_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_spread_ratio_and_verdict() {
        let mut report = Report::new("tcg".into(), 3);
        report.add_beside("boot", Unit::Seconds, &[9.0, 3.0, 6.0], &[4.0, 2.0], Some(2.0));
        report.add_beside("boot", Unit::Seconds, &[9.0], &[4.0], Some(2.0));
        report.add_with_target("memory", Unit::Mebibytes, &[149.6], 150.0);
        let table = report.table();
        assert_eq!(table[0], ["boot", "3.00 s", "6.00 s", "9.00 s", "3.00 s", "2.00", "2.00 reached"]);
        assert_eq!(table[1][5..], ["2.25", "2.00 missed"]);
        assert_eq!(table[2][4..], ["", "", "150 MiB reached"]);
    }
}
