//! A record with some lines, and accessors for its content.

use std::fs;
use std::time::Duration;

use camino::Utf8Path;
use rave_audit::{Entry, Event, Files, Reader, Verdict, Way, Writer, verify};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Record {
    pub(crate) files: Files,
    _folder: tempfile::TempDir,
}

impl Record {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::at(Utf8Path::from_path(folder.path()).unwrap());
        Self { files, _folder: folder }
    }

    /// A record with a first line and this many connections.
    pub(crate) fn with(count: usize) -> Self {
        let record = Self::new();
        let mut writer = record.writer();
        for number in 0..count {
            writer.note(opened(number)).unwrap();
        }
        record
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::open(&self.files, "box", PATIENCE).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.files.record).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().split_inclusive('\n').map(str::to_owned).collect()
    }

    pub(crate) fn write(&self, lines: &[String]) {
        fs::write(&self.files.record, lines.concat()).unwrap();
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        entries(&self.files).into_iter().map(|entry| entry.event).collect()
    }

    pub(crate) fn verdict(&self) -> Verdict {
        verify(&self.files).unwrap()
    }

    /// The number of the first wrong line.
    pub(crate) fn wrong(&self) -> u64 {
        match self.verdict() {
            Verdict::Wrong { line, .. } => line,
            whole @ Verdict::Whole { .. } => panic!("{whole:?}: {}", self.text()),
        }
    }
}

pub(crate) fn entries(files: &Files) -> Vec<Entry> {
    let mut reader = Reader::open(files).unwrap();
    std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| Entry::parse(&line).unwrap()).collect()
}

pub(crate) fn opened(number: usize) -> Event {
    Event::Opened { way: Way::Out, to: format!("n{number}.example:443"), rule: "allow *.example".into() }
}
