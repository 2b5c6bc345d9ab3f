//! Events that engines report while they work. Only the user interface prints them.

use std::time::Duration;

/// What [`Event::StageProgress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes read or written.
    Bytes,
    /// Packages fetched, unpacked or configured.
    Packages,
    /// Finished checks.
    Checks,
    /// Finished nix builds.
    Builds,
    /// Finished stages.
    Stages,
}

/// How a stage got its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutcome {
    /// The work was done now.
    Built,
    /// An earlier result was still valid and was reused.
    Reused,
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A stage began.
    StageStarted {
        /// The stage's name, the same in every event about it.
        stage: &'a str,
    },
    /// A stage made progress.
    StageProgress {
        /// The stage's name.
        stage: &'a str,
        /// How much is done, in `unit`.
        done: u64,
        /// The total, in `unit`, if known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// A program run by the stage printed a line.
    StageOutput {
        /// The stage's name.
        stage: &'a str,
        /// The line without its terminator, secrets masked.
        line: &'a str,
    },
    /// A stage succeeded. A failed stage returns its error instead.
    StageFinished {
        /// The stage's name.
        stage: &'a str,
        /// Wall-clock time since its start.
        elapsed: Duration,
        /// Whether the work was done or an earlier result was reused.
        outcome: StageOutcome,
    },
    /// Information that needs no action by the user.
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
