//! Runs the second half of a test on a file system of 128 KiB, which fills up.

use camino::Utf8Path;

use crate::fixture::Fixture;

/// The variable that passes the fixture's folder to the child.
const PLACE: &str = "RAVE_TEST_SMALL_DISK";

/// Runs `test` of this program with `folder` of the fixture on a tmpfs, in a separate namespace that leaves nothing
/// behind. Returns its output, or why that is not possible here.
pub(crate) fn run(fixture: &Fixture, folder: &str, test: &str) -> Result<String, &'static str> {
    let script = r#"mkdir -p "$1/$2" && mount -t tmpfs -o size=128k tmpfs "$1/$2" && shift 2 && "$@""#;
    let program = std::env::current_exe().unwrap();
    let place = fixture.path("");
    let arguments =
        ["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", place.as_str(), folder];
    let arguments = arguments.map(std::ffi::OsString::from).into_iter();
    let arguments = arguments.chain([program.into(), "--exact".into(), test.into(), "--nocapture".into()]);
    let output = duct::cmd("unshare", arguments)
        .env(PLACE, place.as_str())
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stdout).into_owned();
    if message.contains("unshare failed") || message.contains("permission denied") {
        return Err("this host allows no mount in a namespace");
    }
    Ok(message)
}

/// Calls `second` in the child; does nothing in a run of all tests.
pub(crate) fn in_child(second: fn(&Utf8Path)) {
    if let Ok(place) = std::env::var(PLACE) {
        second(Utf8Path::new(&place));
    }
}
