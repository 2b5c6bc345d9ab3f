//! Collects the parts of nix's events that explain a failure.

use std::collections::{HashMap, VecDeque};

use super::events::{ActivityKind, Level, NixEvent};

/// How many lines of a build are kept.
const LINES: usize = 40;
/// How many finished builds keep their lines: a failure is reported soon after the build ends.
const ENDED: usize = 64;
/// How many messages of each kind are kept.
const MESSAGES: usize = 200;

/// A build and its last lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Build {
    drv: String,
    lines: VecDeque<String>,
}

/// What was seen so far, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct FailureCollector {
    running: HashMap<u64, Build>,
    ended: VecDeque<Build>,
    errors: Vec<String>,
    /// Other messages, in case nix fails without an error message.
    messages: VecDeque<String>,
}

/// The derivation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedBuild {
    pub(super) drv: String,
    /// Nix's reason.
    pub(super) reason: String,
    pub(super) lines: Vec<String>,
}

impl FailureCollector {
    pub(super) fn take(&mut self, event: &NixEvent) {
        match event {
            NixEvent::Started { id, kind: ActivityKind::Build, drv: Some(drv), .. } => {
                self.running.insert(*id, Build { drv: drv.clone(), lines: VecDeque::new() });
            }
            NixEvent::Log { id, line } => {
                if let Some(build) = self.running.get_mut(id) {
                    push(&mut build.lines, line.clone(), LINES);
                }
            }
            NixEvent::Stopped { id } => {
                if let Some(build) = self.running.remove(id) {
                    push(&mut self.ended, build, ENDED);
                }
            }
            NixEvent::Message { level: Level::Error, text } => {
                // The first errors name the cause; the last one is a summary.
                if self.errors.len() == MESSAGES {
                    self.errors.pop();
                }
                self.errors.push(text.clone());
            }
            NixEvent::Message { text, .. } => push(&mut self.messages, text.clone(), LINES),
            _ => {}
        }
    }

    /// Every error, in order.
    pub(super) fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The last messages other than errors.
    pub(super) fn messages(&self) -> Vec<String> {
        self.messages.iter().cloned().collect()
    }

    /// The build named by an error, if any.
    pub(super) fn failed_build(&self) -> Option<FailedBuild> {
        let of_build = |text: &String| {
            let drv = quoted_drv(text)?;
            let build = self.running.values().chain(&self.ended).find(|build| build.drv == drv);
            // A dependency failed: its own error says more.
            let is_consequence =
                text.contains("dependencies of derivation") || text.contains("dependency failed");
            (!is_consequence && (build.is_some() || text.contains("builder"))).then(|| FailedBuild {
                drv: drv.to_owned(),
                reason: reason(text),
                lines: build.map(|build| build.lines.iter().cloned().collect()).unwrap_or_default(),
            })
        };
        self.errors.iter().find_map(of_build)
    }
}

/// The first quoted path of a derivation.
fn quoted_drv(text: &str) -> Option<&str> {
    text.split(['\'', '"', '\u{2018}', '\u{2019}'])
        .find(|part| part.strip_suffix(".drv").is_some_and(|path| path.starts_with('/')))
}

/// Nix's message without the build lines that it repeats.
fn reason(text: &str) -> String {
    let own = text.lines().take_while(|line| {
        !line.trim_start().starts_with("last ")
            && !line.contains("Last ")
            && !line.trim_start().starts_with('>')
    });
    let line = own.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).trim_end_matches([';', ',']).to_owned()
}

fn push<T>(kept: &mut VecDeque<T>, one: T, most: usize) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> NixEvent {
        NixEvent::Message { level: Level::Error, text: text.into() }
    }

    #[test]
    fn the_failed_build_is_reported_and_not_its_dependents() {
        let mut failure = FailureCollector::default();
        for (id, drv) in [(1, "/nix/store/a-bad.drv"), (2, "/nix/store/b-good.drv")] {
            let text = String::new();
            failure.take(&NixEvent::Started { id, kind: ActivityKind::Build, text, drv: Some(drv.into()) });
        }
        for number in 0..60 {
            failure.take(&NixEvent::Log { id: 1, line: format!("line {number}") });
            failure.take(&NixEvent::Log { id: 2, line: "another's".into() });
        }
        failure.take(&error("error: 1 dependencies of derivation '/nix/store/c-worse.drv' failed to build"));
        failure.take(&NixEvent::Stopped { id: 1 });
        let words = "error: builder for '/nix/store/a-bad.drv' failed with exit code 3;\n       last 10 log lines:\n       > line 59";
        failure.take(&error(words));
        let failed = failure.failed_build().unwrap();
        assert_eq!(failed.drv, "/nix/store/a-bad.drv");
        assert_eq!(failed.reason, "builder for '/nix/store/a-bad.drv' failed with exit code 3");
        assert_eq!((failed.lines.len(), failed.lines[39].as_str()), (40, "line 59"));
    }

    #[test]
    fn messages_of_newer_versions_are_parsed() {
        let mut failure = FailureCollector::default();
        failure.take(&error("error: Cannot build '/nix/store/c-worse.drv'.\n       Reason: 1 dependency failed.\n       Output paths:\n         /nix/store/x"));
        failure.take(&error("error: Cannot build '/nix/store/a-bad.drv'.\n       Reason: builder failed with exit code 3.\n       Last 2 log lines:\n       > x"));
        let failed = failure.failed_build().unwrap();
        assert_eq!(failed.drv, "/nix/store/a-bad.drv");
        assert_eq!(
            failed.reason,
            "Cannot build '/nix/store/a-bad.drv'. Reason: builder failed with exit code 3."
        );
    }

    #[test]
    fn stored_failures_are_bounded() {
        let mut failure = FailureCollector::default();
        for id in 0..10_000 {
            let drv = Some(format!("/nix/store/{id}.drv"));
            failure.take(&NixEvent::Started { id, kind: ActivityKind::Build, text: String::new(), drv });
            failure.take(&NixEvent::Stopped { id });
            failure.take(&error(&format!("error: {id}")));
        }
        assert_eq!((failure.ended.len(), failure.errors.len()), (ENDED, MESSAGES));
        assert_eq!(
            (failure.errors[0].as_str(), failure.errors[MESSAGES - 1].as_str()),
            ("error: 0", "error: 9999")
        );
    }
}
