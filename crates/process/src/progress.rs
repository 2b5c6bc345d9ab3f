//! What engines report while they work. Only the user interface prints it.

use std::time::Duration;

/// What [`Event::StageProgress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes read or written.
    Bytes,
    /// Packages fetched, unpacked or configured.
    Packages,
    /// Checks that have an answer.
    Checks,
    /// Builds of nix that are done.
    Builds,
    /// Stages that are done.
    Stages,
}

/// How a stage came to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutcome {
    /// The work was done now.
    Built,
    /// An earlier result was still right and was taken.
    Reused,
}

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A stage began.
    StageStarted {
        /// The stage's name, the same in every event about it.
        stage: &'a str,
    },
    /// A stage came further.
    StageProgress {
        /// The stage's name.
        stage: &'a str,
        /// How much is done, in `unit`.
        done: u64,
        /// How much there is in all, in `unit`, where that is known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// A program run by the stage printed a line.
    StageOutput {
        /// The stage's name.
        stage: &'a str,
        /// The line, without its end, secrets masked.
        line: &'a str,
    },
    /// A stage ended well. One that failed returns its error instead.
    StageFinished {
        /// The stage's name.
        stage: &'a str,
        /// Wall-clock time since its start.
        elapsed: Duration,
        /// Whether the work was done or an earlier result taken.
        outcome: StageOutcome,
    },
    /// Something worth telling that asks nothing of the user.
    Note {
        /// One line.
        text: &'a str,
    },
    /// Something that the user may want to change.
    Warning {
        /// One line.
        text: &'a str,
    },
}

/// Where engines send their events; may be called from several threads at once.
pub type Sink<'a> = &'a (dyn Fn(Event<'_>) + Sync);
