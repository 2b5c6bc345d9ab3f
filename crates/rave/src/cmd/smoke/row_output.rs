//! The output of a row while it runs. A single row shows its stages; of several in parallel each is one stage, so that
//! their lines are not interleaved.

use std::time::Instant;

use rave_process::progress::{Event, StageOutcome, Unit};

use crate::ui::Ui;

#[derive(Clone, Copy)]
pub(super) struct RowOutput<'a> {
    ui: &'a Ui,
    row: &'a str,
    is_alone: bool,
    started: Instant,
}

impl<'a> RowOutput<'a> {
    pub(super) fn new(ui: &'a Ui, row: &'a str, is_alone: bool) -> Self {
        let output = Self { ui, row, is_alone, started: Instant::now() };
        if !is_alone {
            ui.sink()(Event::StageStarted { stage: row });
        }
        output
    }

    /// A line that is of interest while the row runs.
    pub(super) fn note(&self, text: &str) {
        if self.is_alone {
            self.ui.note(text);
        } else {
            self.ui.sink()(Event::StageOutput { stage: self.row, line: text });
        }
    }

    pub(super) fn warn(&self, text: &str) {
        if self.is_alone { self.ui.warn(text) } else { self.ui.warn(&format!("{}: {text}", self.row)) }
    }

    /// Progress of something that is not a stage.
    pub(super) fn progress(&self, line: &str) {
        if self.is_alone {
            self.ui.note(&format!("  {line}"));
        } else {
            self.ui.sink()(Event::StageOutput { stage: self.row, line });
        }
    }

    /// What engines report to.
    pub(super) fn sink(&self) -> impl Fn(Event<'_>) + Sync + '_ {
        let sink = self.ui.sink();
        move |event| {
            if self.is_alone {
                return sink(event);
            }
            match event {
                Event::StageStarted { stage } => sink(Event::StageOutput { stage: self.row, line: stage }),
                Event::StageOutput { line, .. } => sink(Event::StageOutput { stage: self.row, line }),
                Event::StageProgress { done, total, unit: Unit::Checks, .. } => {
                    sink(Event::StageProgress { stage: self.row, done, total, unit: Unit::Checks });
                }
                Event::StageProgress { .. } | Event::StageFinished { .. } => {}
                Event::Note { text } => self.note(text),
                Event::Warning { text } => self.warn(text),
            }
        }
    }

    /// Ends the row.
    pub(super) fn end(&self) {
        if !self.is_alone {
            let elapsed = self.started.elapsed();
            self.ui.sink()(Event::StageFinished { stage: self.row, elapsed, outcome: StageOutcome::Built });
        }
    }
}
