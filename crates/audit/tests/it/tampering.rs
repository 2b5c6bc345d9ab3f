//! Each way to change a record is detected at its first wrong line, and an unchanged record is whole.

use std::fs;

use rave_audit::{Event, Files, Verdict};

use crate::record::{Record, opened};

#[test]
fn an_unchanged_record_is_valid() {
    for count in [0, 1, 20] {
        let record = Record::with(count);
        assert_eq!(record.verdict(), Verdict::Whole { lines: count as u64 + 1, unwritten: 0 });
    }
}

#[test]
fn an_edit_is_detected_at_its_line() {
    for (index, from, to) in
        [(0, "\"box\"", "\"bax\""), (3, "n2.example", "n9.example"), (5, "\"count\":1", "\"count\":0")]
    {
        let record = Record::with(5);
        let mut lines = record.lines();
        assert!(lines[index].contains(from));
        lines[index] = lines[index].replace(from, to);
        record.write(&lines);
        assert_eq!(record.wrong(), index as u64 + 1);
    }
}

#[test]
fn an_edited_hash_is_detected_even_if_later_lines_match() {
    let record = Record::with(3);
    let mut lines = record.lines();
    let at = lines[1].len() - 4;
    let other = if lines[1].as_bytes()[at] == b'0' { "1" } else { "0" };
    lines[1].replace_range(at..=at, other);
    record.write(&lines);
    assert_eq!(record.wrong(), 2);
}

#[test]
fn removed_added_and_moved_lines_are_detected() {
    for index in 0..5 {
        let record = Record::with(5);
        let mut lines = record.lines();
        lines.remove(index);
        record.write(&lines);
        assert_eq!(record.wrong(), index as u64 + 1, "removed {index}");
    }
    let record = Record::with(5);
    let mut lines = record.lines();
    lines.swap(2, 3);
    record.write(&lines);
    assert_eq!(record.wrong(), 3);
    let mut lines = Record::with(5).lines();
    lines.insert(4, lines[3].clone());
    record.write(&lines);
    assert_eq!(record.wrong(), 5);
}

#[test]
fn truncation_is_detected_at_a_line_and_within_one() {
    let record = Record::with(5);
    let lines = record.lines();
    record.write(&lines[..4]);
    assert_eq!(record.wrong(), 5);
    let mut text = lines.concat();
    text.truncate(text.len() - 10);
    record.write(&[text]);
    assert_eq!(record.wrong(), 6);
    record.write(&[]);
    assert_eq!(record.wrong(), 1);
}

#[test]
fn rechained_lines_do_not_match_the_head() {
    let record = Record::with(5);
    let other = Record::with(0);
    {
        let mut writer = other.writer();
        for number in [0, 1, 2, 3, 9] {
            writer.note(opened(number)).unwrap();
        }
    }
    assert!(matches!(other.verdict(), Verdict::Whole { lines: 6, .. }));
    fs::copy(&other.files.record, &record.files.record).unwrap();
    assert_eq!(record.wrong(), 6);
}

#[test]
fn a_record_without_its_head_proves_nothing() {
    let record = Record::with(5);
    let Files { head, .. } = &record.files;
    let bytes = fs::read(head).unwrap();
    fs::remove_file(head).unwrap();
    assert_eq!(record.wrong(), 1);
    fs::write(head, vec![b'x'; bytes.len()]).unwrap();
    assert_eq!(record.wrong(), 1);
    fs::write(head, bytes).unwrap();
    assert!(matches!(record.verdict(), Verdict::Whole { .. }));
}

#[test]
fn the_next_writer_repairs_no_tampering() {
    // Without the end of its last line nothing is missing, but the file was changed.
    for (cut, wrong) in [(1, 7), (200, 6)] {
        let record = Record::with(5);
        let text = record.text();
        record.write(&[text[..text.len() - cut].to_owned()]);
        assert_eq!(record.wrong(), 6);
        record.writer().note(opened(7)).unwrap();
        assert_eq!(record.wrong(), wrong, "cut {cut}");
        let text = record.text();
        assert!(text.contains("\"broken\"") && text.contains("n7.example"), "{text}");
    }
    let record = Record::with(2);
    fs::remove_file(&record.files.head).unwrap();
    record.writer().note(opened(7)).unwrap();
    // The new head knows two lines, and the second is a different one.
    assert_eq!(record.wrong(), 2);
    assert!(matches!(record.events()[3], Event::Broken { .. }));
}
