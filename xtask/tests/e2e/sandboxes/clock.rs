//! A machine that was paused: its clock matches the host's again within a second.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{NAME, Sandbox};
use crate::tool::{poll, wait_until};

/// How long the machine is paused.
const PAUSE: Duration = Duration::from_secs(5);

/// QEMU's control socket serves one client: the supervisor is killed first, and the next one finds the machine paused
/// by someone else.
pub(super) fn is_right_after_a_pause(sandbox: &Sandbox) {
    sandbox.kill("supervisor");
    wait_until("the supervisor is gone", || sandbox.state() == "unattended");
    let socket = sandbox.place.path("state/sandboxes").join(NAME).join("run/qmp.sock");
    let mut qmp = UnixStream::connect(socket).unwrap();
    let mut answers = BufReader::new(qmp.try_clone().unwrap());
    let mut order = |name: &str| {
        writeln!(qmp, "{{\"execute\": \"{name}\"}}").unwrap();
        let mut line = String::new();
        while !line.contains("\"return\"") {
            line.clear();
            assert_ne!(answers.read_line(&mut line).unwrap(), 0, "QEMU answers {name}");
            assert!(!line.contains("\"error\""), "{line}");
        }
    };
    order("qmp_capabilities");
    order("stop");
    let paused = SystemTime::now();
    poll("the machine was paused long enough", PAUSE, || paused.elapsed().unwrap() >= PAUSE);
    order("cont");
    drop((qmp, answers));

    sandbox.exec(&["true"]).expect_code(0);
    let clock = || sandbox.row()["status"]["clock"].clone();
    wait_until("the clock is set", || clock().is_object());
    let report = clock();
    assert!(report["behind_ms"].as_i64().unwrap() > 3000, "{report}");
    assert!(report["behind_after_ms"].as_i64().unwrap().abs() <= 1000, "{report}");
    let guest: u128 = sandbox.exec(&["date", "+%s%3N"]).expect_code(0).stdout.trim().parse().unwrap();
    let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    // It would be 5 s behind; the command itself takes some time too.
    assert!(host.abs_diff(guest) < 4000, "{host} and {guest}");
}
