//! Each way to change a record is detected at its first wrong line, and an unchanged record is whole.

use std::fs;

use rave_audit::{Event, Files, Verdict};

use crate::record::{Record, opened};

#[test]
fn a_record_that_nobody_changed_is_whole() {
    for count in [0, 1, 20] {
        let record = Record::with(count);
        assert_eq!(record.verdict(), Verdict::Whole { lines: count as u64 + 1, unwritten: 0 });
    }
}

#[test]
fn an_edit_is_found_in_its_line() {
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
fn a_hash_that_is_edited_is_found_though_the_rest_is_not() {
    let record = Record::with(3);
    let mut lines = record.lines();
    let at = lines[1].len() - 4;
    let other = if lines[1].as_bytes()[at] == b'0' { "1" } else { "0" };
    lines[1].replace_range(at..=at, other);
    record.write(&lines);
    assert_eq!(record.wrong(), 2);
}

#[test]
fn a_line_that_is_removed_added_or_moved_is_found() {
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
fn an_end_that_is_cut_is_found_at_a_line_and_inside_of_one() {
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
fn lines_that_are_chained_anew_do_not_end_as_the_head_knows() {
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
fn without_its_head_a_record_proves_nothing() {
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
fn the_next_writer_heals_nothing_of_it() {
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
