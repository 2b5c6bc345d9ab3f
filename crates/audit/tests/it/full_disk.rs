//! A full disk: the record reports that it cannot be written, uses its reserve for a time, and records the gap
//! afterwards.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_audit::{Event, Files, Recorder, Verdict, verify};

use crate::record::{entries, opened};

/// How long each phase may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);
/// Names the small disk to the child process.
const PLACE: &str = "RAVE_TEST_SMALL_DISK";

/// Runs this test again in its own mount namespace with a tmpfs of 2 MiB, so that nothing is left behind.
#[test]
fn a_full_disk_is_recorded_until_the_reserve_is_used() {
    match std::env::var(PLACE) {
        Ok(place) => on_small_disk(Utf8Path::new(&place)),
        Err(_) => in_a_namespace(),
    }
}

fn in_a_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=2m tmpfs "$1" && shift && exec "$@""#;
    let program = std::env::current_exe().unwrap();
    let arguments =
        ["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"].map(std::ffi::OsString::from);
    let test = "full_disk::a_full_disk_is_recorded_until_the_reserve_is_used";
    let arguments =
        arguments.into_iter().chain([folder.path().into(), program.into(), "--exact".into(), test.into()]);
    let output = duct::cmd("unshare", arguments)
        .env(PLACE, folder.path())
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    if printed.contains("unshare failed") || printed.contains("permission denied") {
        rave_testing::skip!("this host allows no mount in a namespace");
    }
    assert!(output.status.success(), "{printed}");
}

fn on_small_disk(place: &Utf8Path) {
    let files = Files::at(place);
    let recorder = Recorder::start(files.clone(), "box").unwrap();
    assert!(recorder.can_record());
    let mut filler = fs::File::create(place.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    // The reserved space is still available.
    recorder.see(opened(1));
    recorder.flush();
    assert_eq!(recorder.failure(), None);
    assert_eq!(entries(&files).len(), 2);
    // Until the reserve is used up.
    let began = Instant::now();
    let rule = "\u{202e}".repeat(300);
    let mut number = 0;
    while recorder.can_record() {
        assert!(began.elapsed() < PATIENCE, "{number}");
        let event = Event::Denied { what: number.to_string(), to: rule.clone(), rule: rule.clone() };
        recorder.see(event);
        recorder.flush();
        number += 1;
    }
    assert!(number > 50, "{number}");
    assert!(recorder.failure().unwrap().contains("No space"));
    recorder.see(opened(2));
    recorder.flush();
    // Once there is space again, it continues by itself without losing a line.
    // Close the file first: an open one keeps its space.
    drop(filler);
    fs::remove_file(place.join("filler")).unwrap();
    let began = Instant::now();
    while !recorder.can_record() {
        assert!(began.elapsed() < PATIENCE, "{:?}", recorder.failure());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(recorder);
    let all = entries(&files);
    assert!(
        all.iter().any(|entry| matches!(&entry.event, Event::Gap { why, .. } if why.contains("No space")))
    );
    assert!(all.iter().any(|entry| entry.event == opened(2)));
    assert_eq!(all.len(), number + 4, "no line is lost");
    assert!(matches!(verify(&files).unwrap(), Verdict::Whole { .. }));
}
