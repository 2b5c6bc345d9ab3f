//! One writer at a time, and recovery after one that was killed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use rave_audit::{Error, Event, Reader, Recorder, Verdict, Writer};

use crate::record::{Record, opened};

fn append(record: &Record, bytes: &[u8]) {
    OpenOptions::new().append(true).open(&record.files.record).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_torn_last_line_is_cut_and_recorded() {
    let record = Record::with(2);
    append(&record, b"{\"n\":4,\"first\":17");
    assert_eq!(record.wrong(), 4);
    record.writer().note(opened(9)).unwrap();
    assert_eq!(record.verdict(), Verdict::Whole { lines: 5, unwritten: 0 });
    assert_eq!(record.events()[3..], [Event::Recovered { cut: 17 }, opened(9)]);
}

#[test]
fn a_complete_line_missing_from_the_head_is_kept() {
    let record = Record::with(2);
    let head = fs::read(&record.files.head).unwrap();
    record.writer().note(opened(2)).unwrap();
    fs::write(&record.files.head, head).unwrap();
    assert!(matches!(record.verdict(), Verdict::Whole { lines: 4, .. }));
    record.writer().note(opened(3)).unwrap();
    assert_eq!(record.events()[1..], [opened(0), opened(1), opened(2), opened(3)]);
    assert!(matches!(record.verdict(), Verdict::Whole { lines: 5, .. }));
}

#[test]
fn a_complete_line_that_does_not_match_is_not_cut() {
    let record = Record::with(2);
    append(&record, b"{\"n\":4}\n");
    record.writer().note(opened(9)).unwrap();
    assert_eq!(record.wrong(), 4);
    assert!(record.text().contains("{\"n\":4}\n"));
}

#[test]
fn a_second_writer_waits_and_is_then_refused() {
    let record = Record::new();
    let first = record.writer();
    let short = Duration::from_millis(50);
    let error = Writer::open(&record.files, "box", short).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    drop(first);
    Writer::open(&record.files, "box", short).unwrap();
}

#[test]
fn concurrent_writers_lose_no_line() {
    let record = Record::new();
    let recorder = Recorder::start(record.files.clone(), "box").unwrap();
    let files = record.files.clone();
    let others: Vec<_> = (0..3)
        .map(|number| {
            let files = files.clone();
            thread::spawn(move || {
                let mut writer = Writer::open(&files, "box", crate::record::PATIENCE).unwrap();
                writer.note(opened(number)).unwrap();
            })
        })
        .collect();
    recorder.see(opened(9));
    drop(recorder);
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(record.verdict(), Verdict::Whole { lines: 5, unwritten: 0 });
    let events = record.events();
    assert_eq!(
        events[..2],
        [Event::Begun { sandbox: "box".into() }, opened(9)],
        "the recorder was the first"
    );
}

#[test]
fn lines_can_be_read_while_others_are_written() {
    let record = Record::with(1);
    let mut reader = Reader::open(&record.files).unwrap();
    let mut next = || reader.next_line().unwrap().map(|line| String::from_utf8(line).unwrap());
    assert!(next().unwrap().contains("begun"));
    assert!(next().unwrap().contains("n0.example"));
    assert_eq!(next(), None);
    append(&record, b"{\"half\"");
    assert_eq!(next(), None);
    append(&record, b":1}\n");
    assert_eq!(next().as_deref(), Some("{\"half\":1}"));
    assert_eq!(next(), None);
}
