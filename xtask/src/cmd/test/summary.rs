//! The table of the steps that `cargo xtask test` ran.

use std::time::Duration;

use super::steps::name;
use crate::cli::TestStep;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Passed,
    Failed,
    /// This host cannot run it; the reason is listed.
    NotRun,
}

/// A row for each step, and the whole time.
pub(super) fn table(ended: &[(TestStep, Ending, Duration)]) -> Vec<Vec<String>> {
    let time = |time: Duration| format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60);
    let row = |(step, ending, elapsed): &(TestStep, Ending, Duration)| {
        let result = match ending {
            Ending::Passed => "passed",
            Ending::Failed => "FAILED",
            Ending::NotRun => "not run",
        };
        vec![name(*step).to_owned(), result.to_owned(), time(*elapsed)]
    };
    let whole = ended.iter().map(|(.., elapsed)| *elapsed).sum();
    ended.iter().map(row).chain([vec!["all".to_owned(), String::new(), time(whole)]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_step_and_the_total_time() {
        let ended = [
            (TestStep::Unit, Ending::Passed, Duration::from_secs(75)),
            (TestStep::Flake, Ending::NotRun, Duration::from_secs(5)),
        ];
        let rows: Vec<String> = table(&ended).iter().map(|row| row.join("|")).collect();
        assert_eq!(rows, ["unit|passed|1 min 15 s", "flake|not run|0 min 05 s", "all||1 min 20 s"]);
    }
}
