//! Stages without a terminal: one line at the start, one at the end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rave_process::progress::Event;

use super::words;

/// The last amount reported by each running stage.
#[derive(Debug, Default)]
pub(super) struct Stages(Mutex<HashMap<String, Option<String>>>);

impl Stages {
    /// The line to print, if the event is worth one.
    pub(super) fn event(&self, event: Event<'_>) -> Option<String> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StageStarted { stage } => {
                running.insert(stage.to_owned(), None);
                Some(format!("{stage}: started"))
            }
            Event::StageProgress { stage, done, total, unit } => {
                running.insert(stage.to_owned(), Some(words::amount(done, total, unit)));
                None
            }
            Event::StageFinished { stage, elapsed, outcome } => {
                let amount = running.remove(stage).flatten();
                Some(words::finished(stage, elapsed, outcome, amount.as_deref()))
            }
            Event::StageOutput { .. } | Event::Note { .. } | Event::Warning { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_process::progress::{StageOutcome, Unit};
    use std::time::Duration;

    #[test]
    fn a_stage_prints_two_lines_whatever_it_reports() {
        let stages = Stages::default();
        let stage = "root filesystem";
        let events = [
            Event::StageStarted { stage },
            Event::StageProgress { stage, done: 3, total: Some(191), unit: Unit::Packages },
            Event::StageOutput { stage, line: "Unpacking vim" },
            Event::StageProgress { stage, done: 191, total: Some(191), unit: Unit::Packages },
            Event::StageFinished { stage, elapsed: Duration::from_secs(38), outcome: StageOutcome::Built },
        ];
        let lines: Vec<String> = events.into_iter().filter_map(|event| stages.event(event)).collect();
        assert_eq!(
            lines,
            ["root filesystem: started", "root filesystem: done in 38.0 s, 191 of 191 packages"]
        );
    }
}
