//! Runs a part of a test in a process that stops at a given point and is killed there.

use std::io::{BufRead as _, BufReader};

use camino::Utf8Path;

use crate::fixture::Fixture;

/// Variables that pass the fixture's folder and the point to the child.
const PLACE: &str = "RAVE_TEST_KILLED_PLACE";
const POINT: &str = "RAVE_TEST_KILLED_AT";

/// Runs `test` of this program until it stops at `point`, and kills it.
pub(crate) fn kill(fixture: &Fixture, test: &str, point: &str) {
    let (reader, writer) = std::io::pipe().unwrap();
    let (input, held) = std::io::pipe().unwrap();
    let child = duct::cmd!(std::env::current_exe().unwrap(), "--exact", test, "--nocapture")
        .env(PLACE, fixture.path("").as_str())
        .env(POINT, point)
        .stdin_file(input)
        .stdout_null()
        .stderr_file(writer)
        .unchecked()
        .start()
        .unwrap();
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let stopped = lines.find(|line| line.starts_with("stopped at "));
    child.kill().unwrap();
    drop(held);
    assert_eq!(stopped, Some(format!("stopped at {point}")));
}

/// Calls `run` with the fixture and the point in the child; does nothing in a run of all tests.
pub(crate) fn in_child(run: fn(&Fixture, &str)) {
    if let (Ok(place), Ok(point)) = (std::env::var(PLACE), std::env::var(POINT)) {
        run(&Fixture::at(Utf8Path::new(&place)), &point);
    }
}

/// Waits to be killed, or until the end of the input, when the test that started this process has ended.
pub(crate) fn stop(point: &str) -> ! {
    eprintln!("stopped at {point}");
    let _ = std::io::stdin().read_line(&mut String::new());
    std::process::exit(1);
}
