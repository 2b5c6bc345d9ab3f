//! The limits on what is written.

use std::collections::HashMap;

use rave_audit::{Event, GUEST_LIMIT, LIMIT, LINES_A_SECOND, Recorder, Verdict};

use crate::record::{Record, entries, opened};

#[test]
fn lines_per_second_are_limited_and_the_rest_is_counted() {
    let record = Record::new();
    let recorder = Recorder::start(record.files.clone(), "box").unwrap();
    for number in 0..5000 {
        recorder.see(opened(number));
        recorder.see(opened(0));
    }
    drop(recorder);
    let entries = entries(&record.files);
    assert!(entries.iter().map(|entry| entry.count).sum::<u64>() >= 10_001);
    let mut seconds: HashMap<u64, usize> = HashMap::new();
    for entry in &entries[1..] {
        *seconds.entry(entry.first / 1000).or_default() += 1;
    }
    // The writer's seconds are not the clock's: two of them may overlap one.
    assert!(seconds.values().all(|lines| *lines <= 2 * LINES_A_SECOND), "{seconds:?}");
    assert!(entries.iter().any(|entry| matches!(entry.event, Event::Omitted { .. })));
    assert!(entries.iter().any(|entry| entry.event == opened(0) && entry.count > 100));
    assert!(matches!(record.verdict(), Verdict::Whole { .. }));
}

#[test]
fn a_full_record_is_marked_and_still_takes_the_users_actions() {
    let record = Record::new();
    {
        let mut writer = record.writer();
        let rule = "\u{202e}".repeat(300);
        let mut written = 0;
        while written < GUEST_LIMIT + LIMIT / 64 {
            let event = Event::Denied { what: rule.clone(), to: rule.clone(), rule: rule.clone() };
            writer.note(event).unwrap();
            written += 5400;
        }
        writer.note(opened(1)).unwrap();
        writer.note(Event::Removed).unwrap();
    }
    // When the recorder ends, it writes how many events are missing.
    drop(Recorder::start(record.files.clone(), "box").unwrap());
    let length = std::fs::metadata(&record.files.record).unwrap().len();
    assert!((GUEST_LIMIT - 10_000..GUEST_LIMIT + 10_000).contains(&length), "{length}");
    let events = record.events();
    let full = events.iter().position(|event| *event == Event::Full { limit: GUEST_LIMIT }).unwrap();
    assert_eq!(events[full + 1], Event::Removed, "{:?}", &events[full..]);
    let Verdict::Whole { unwritten, .. } = record.verdict() else { panic!() };
    assert!(unwritten > 100);
}
