//! Stages on a terminal: each running one has a line with its time, its amount and the last line it printed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rave_process::progress::Event;

use super::words;

/// How often the elapsed time is drawn again.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Bars {
    screen: MultiProgress,
    running: Mutex<HashMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    bar: ProgressBar,
    amount: Option<String>,
    last_line: String,
}

impl Running {
    fn redraw(&self) {
        let amount = self.amount.as_deref().map(|amount| format!("{amount}  ")).unwrap_or_default();
        self.bar.set_message(format!("{amount}{}", self.last_line));
    }
}

impl Bars {
    /// Draws the event; returns the line that stays, if any.
    pub(super) fn event(&self, event: Event<'_>) -> Option<String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StageStarted { stage } => {
                let bar = self.screen.add(ProgressBar::new_spinner()).with_prefix(stage.to_owned());
                bar.set_style(style());
                bar.enable_steady_tick(TICK);
                running.insert(stage.to_owned(), Running { bar, amount: None, last_line: String::new() });
                None
            }
            Event::StageProgress { stage, done, total, unit } => {
                if let Some(stage) = running.get_mut(stage) {
                    stage.amount = Some(words::amount(done, total, unit));
                    stage.redraw();
                }
                None
            }
            Event::StageOutput { stage, line } => {
                if let Some(stage) = running.get_mut(stage) {
                    stage.last_line = line.chars().filter(|c| !c.is_control()).collect();
                    stage.redraw();
                }
                None
            }
            Event::StageFinished { stage, elapsed, outcome } => {
                let amount = running.remove(stage).and_then(|stage| {
                    stage.bar.finish_and_clear();
                    stage.amount
                });
                Some(words::finished(stage, elapsed, outcome, amount.as_deref()))
            }
            Event::Note { .. } | Event::Warning { .. } => None,
        }
    }

    /// Removes all lines: a stage failed and an error follows.
    pub(super) fn clear(&self) {
        for (_, stage) in self.running.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            stage.bar.finish_and_clear();
        }
    }

    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.screen.suspend(print)
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
