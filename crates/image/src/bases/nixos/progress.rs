//! Nix's events as stages of the progress display: evaluation, fetch, build.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rave_process::progress::{Event as Shown, Sink, StageOutcome, Unit};

use super::events::{ActivityKind, Level, NixEvent};
use super::text::drv_name;

/// The flake is evaluated.
pub(super) const EVALUATION: &str = "evaluation";
/// Paths are downloaded.
pub(super) const FETCH: &str = "fetch";
/// Derivations are built.
pub(super) const BUILD: &str = "build";

/// An open stage.
struct Stage {
    name: &'static str,
    started: Instant,
}

/// The state of a run of nix.
pub(super) struct Progress<'a> {
    sink: Sink<'a>,
    open: Vec<Stage>,
    /// Running builds, by activity.
    builds: HashMap<u64, String>,
    /// The activity that counts all builds.
    counter: Option<u64>,
    /// Bytes done and total bytes of each download.
    downloads: HashMap<u64, (u64, u64)>,
    /// Bytes of finished downloads.
    downloaded: u64,
    /// Download bytes announced by each activity.
    expected: HashMap<u64, u64>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(sink: Sink<'a>) -> Self {
        let mut progress = Self {
            sink,
            open: Vec::new(),
            builds: HashMap::new(),
            counter: None,
            downloads: HashMap::new(),
            downloaded: 0,
            expected: HashMap::new(),
        };
        progress.begin(EVALUATION);
        progress
    }

    pub(super) fn take(&mut self, event: &NixEvent) {
        match event {
            NixEvent::Started { id, kind, text, drv } => self.started(*id, *kind, text, drv.as_deref()),
            NixEvent::Stopped { id } => self.stopped(*id),
            NixEvent::Log { id, line } => {
                let line = match self.builds.get(id) {
                    Some(name) => format!("{name}> {line}"),
                    None => line.clone(),
                };
                self.output(BUILD, &line);
            }
            NixEvent::Progress { id, done, expected } => self.further(*id, *done, *expected),
            NixEvent::Expected { id, kind: ActivityKind::FileTransfer, amount } => {
                self.expected.insert(*id, *amount);
                self.show_fetched();
            }
            NixEvent::Expected { .. } => {}
            NixEvent::Message { level, text } => self.message(*level, text),
        }
    }

    /// Nix succeeded: open stages are done.
    pub(super) fn finish(mut self) {
        for stage in std::mem::take(&mut self.open) {
            self.end(&stage);
        }
    }

    fn started(&mut self, id: u64, kind: ActivityKind, text: &str, drv: Option<&str>) {
        match kind {
            ActivityKind::Realise | ActivityKind::Builds => {
                self.close(EVALUATION);
                if kind == ActivityKind::Builds {
                    self.counter = Some(id);
                }
            }
            ActivityKind::Build => {
                self.begin(BUILD);
                let name = drv_name(drv.unwrap_or(text)).to_owned();
                self.output(BUILD, &format!("building {name}"));
                self.builds.insert(id, name);
            }
            ActivityKind::FileTransfer => {
                self.begin(FETCH);
                self.downloads.insert(id, (0, 0));
                self.output(FETCH, text);
            }
            ActivityKind::CopyPath => {
                self.begin(FETCH);
                self.output(FETCH, text);
            }
            ActivityKind::Other if !text.is_empty() && self.is_open(EVALUATION) => {
                self.output(EVALUATION, text);
            }
            ActivityKind::Other => {}
        }
    }

    fn stopped(&mut self, id: u64) {
        self.builds.remove(&id);
        self.expected.remove(&id);
        if let Some((done, _)) = self.downloads.remove(&id) {
            self.downloaded = self.downloaded.saturating_add(done);
        }
    }

    fn further(&mut self, id: u64, done: u64, expected: u64) {
        if self.counter == Some(id) {
            if self.is_open(BUILD) {
                let (stage, unit) = (BUILD, Unit::Builds);
                (self.sink)(Shown::StageProgress { stage, done, total: Some(expected), unit });
            }
        } else if let Some(download) = self.downloads.get_mut(&id) {
            *download = (done, expected);
            self.show_fetched();
        }
    }

    fn show_fetched(&self) {
        if !self.is_open(FETCH) {
            return;
        }
        let sum = |amounts: &mut dyn Iterator<Item = u64>| amounts.fold(0, u64::saturating_add);
        let done = sum(&mut self.downloads.values().map(|(done, _)| *done)).saturating_add(self.downloaded);
        let known = sum(&mut self.downloads.values().map(|(_, all)| *all)).saturating_add(self.downloaded);
        let expected = sum(&mut self.expected.values().copied());
        let total = Some(known.max(expected)).filter(|total| *total >= done && *total > 0);
        (self.sink)(Shown::StageProgress { stage: FETCH, done, total, unit: Unit::Bytes });
    }

    fn message(&mut self, level: Level, text: &str) {
        let first = text.lines().next().unwrap_or_default();
        if level == Level::Warning && !text.trim().is_empty() {
            let text = first.strip_prefix("warning: ").unwrap_or(first);
            return (self.sink)(Shown::Warning { text: &format!("nix: {text}") });
        }
        // "these 3 derivations will be built:", "this path will be fetched (1.2 MiB download, 5 MiB unpacked):"
        let plan = ["will be built:", "will be fetched"].iter().any(|sign| first.contains(sign));
        if level == Level::Info && plan && first.ends_with(':') {
            (self.sink)(Shown::Note { text: first.trim_end_matches(':') });
        } else if let Some(stage) = self.open.last() {
            self.output(stage.name, first);
        }
    }

    fn output(&self, stage: &str, line: &str) {
        (self.sink)(Shown::StageOutput { stage, line });
    }

    fn is_open(&self, name: &str) -> bool {
        self.open.iter().any(|stage| stage.name == name)
    }

    fn begin(&mut self, name: &'static str) {
        if !self.is_open(name) {
            self.open.push(Stage { name, started: Instant::now() });
            (self.sink)(Shown::StageStarted { stage: name });
        }
    }

    fn close(&mut self, name: &str) {
        if let Some(at) = self.open.iter().position(|stage| stage.name == name) {
            let stage = self.open.remove(at);
            self.end(&stage);
        }
    }

    fn end(&self, stage: &Stage) {
        let elapsed: Duration = stage.started.elapsed();
        (self.sink)(Shown::StageFinished { stage: stage.name, elapsed, outcome: StageOutcome::Built });
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::Reader;
    use super::*;
    use std::sync::Mutex;

    /// What is shown for these lines, without times.
    fn shown(lines: &[&str]) -> Vec<String> {
        let printed = Mutex::new(Vec::new());
        let sink = |event: Shown<'_>| {
            printed.lock().unwrap().push(match event {
                Shown::StageStarted { stage } => format!("{stage}: started"),
                Shown::StageFinished { stage, .. } => format!("{stage}: done"),
                Shown::StageOutput { stage, line } => format!("{stage} | {line}"),
                Shown::StageProgress { stage, done, total, .. } => format!("{stage}: {done} of {total:?}"),
                Shown::Note { text } => format!("note: {text}"),
                Shown::Warning { text } => format!("warning: {text}"),
            });
        };
        let mut progress = Progress::new(&sink);
        let mut reader = Reader::default();
        for line in lines {
            reader.take(line, &mut |event| progress.take(&event));
        }
        progress.finish();
        printed.into_inner().unwrap()
    }

    #[test]
    fn a_build_is_evaluated_fetched_and_built() {
        let printed = shown(&[
            r#"@nix {"action":"start","id":1,"level":4,"parent":0,"text":"evaluating derivation 'x'","type":0}"#,
            r#"@nix {"action":"msg","level":1,"msg":"\u001b[35;1mwarning:\u001b[0m Git tree is dirty"}"#,
            r#"@nix {"action":"msg","level":3,"msg":"these 2 derivations will be built:"}"#,
            r#"@nix {"action":"msg","level":3,"msg":"  /nix/store/1wmggi42z9ll0y3w8c6lrqhdczscpxjl-q.drv"}"#,
            r#"@nix {"action":"start","id":2,"level":0,"parent":0,"text":"","type":102}"#,
            r#"@nix {"action":"start","id":3,"level":0,"parent":0,"text":"","type":104}"#,
            r#"@nix {"action":"result","fields":[101,300],"id":2,"type":106}"#,
            r#"@nix {"action":"start","id":4,"level":4,"parent":0,"text":"downloading 'a'","type":101}"#,
            r#"@nix {"action":"result","fields":[100,120,0,0],"id":4,"type":105}"#,
            r#"@nix {"action":"stop","id":4}"#,
            r#"@nix {"action":"start","fields":["/nix/store/1wmggi42z9ll0y3w8c6lrqhdczscpxjl-q.drv","",1,1],"id":5,"level":3,"parent":0,"text":"building","type":105}"#,
            r#"@nix {"action":"result","fields":["hello"],"id":5,"type":101}"#,
            r#"@nix {"action":"result","fields":[1,2,0,0],"id":3,"type":105}"#,
            r#"@nix {"action":"stop","id":5}"#,
        ]);
        let expected = [
            "evaluation: started",
            "evaluation | evaluating derivation 'x'",
            "warning: nix: Git tree is dirty",
            "note: these 2 derivations will be built",
            "evaluation |   /nix/store/1wmggi42z9ll0y3w8c6lrqhdczscpxjl-q.drv",
            "evaluation: done",
            "fetch: started",
            "fetch | downloading 'a'",
            "fetch: 100 of Some(300)",
            "build: started",
            "build | building q",
            "build | q> hello",
            "build: 1 of Some(2)",
            "fetch: done",
            "build: done",
        ];
        assert_eq!(printed, expected);
    }
}
