//! QEMU's part: a machine's devices into a file, and out of it.

use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde_json::{Value, json};

use crate::Error;
use crate::instance::QMP_DEADLINE;
use crate::qmp::Client;

/// How long the state of the devices may take: half a megabyte.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);

/// Stops the machine and writes the state of its devices. Its memory is in its own file (`x-ignore-shared`).
pub(super) fn save(qmp: &mut Client, devices: &Utf8Path) -> Result<(), Error> {
    qmp.execute("stop", Value::Null, QMP_DEADLINE)?;
    ignore_shared(qmp)?;
    qmp.execute("migrate", json!({ "uri": format!("file:{devices}") }), QMP_DEADLINE)?;
    wait(qmp, devices, "query-migrate", |status| status == "completed")
}

/// Gives a machine that waits for it the state of its devices, and lets it run.
pub(crate) fn restore(qmp: &mut Client, devices: &Utf8Path) -> Result<(), Error> {
    ignore_shared(qmp)?;
    resume(qmp, devices)
}

/// The same from a stream that has no memory which would be ignored.
pub(crate) fn resume(qmp: &mut Client, devices: &Utf8Path) -> Result<(), Error> {
    qmp.execute("migrate-incoming", json!({ "uri": format!("file:{devices}") }), QMP_DEADLINE)?;
    wait(qmp, devices, "query-status", |status| status != "inmigrate")?;
    qmp.execute("cont", Value::Null, QMP_DEADLINE).map(drop)
}

fn ignore_shared(qmp: &mut Client) -> Result<(), Error> {
    let capabilities = json!([{ "capability": "x-ignore-shared", "state": true }]);
    qmp.execute("migrate-set-capabilities", json!({ "capabilities": capabilities }), QMP_DEADLINE).map(drop)
}

fn wait(
    qmp: &mut Client,
    devices: &Utf8Path,
    ask: &str,
    is_done: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = qmp.execute(ask, Value::Null, QMP_DEADLINE)?;
        let status = answer["status"].as_str().unwrap_or_default();
        let failed = |why: String| Err(Error::io("save or restore", devices, std::io::Error::other(why)));
        if status == "failed" || status == "internal-error" {
            return failed(
                answer["error-desc"].as_str().unwrap_or("QEMU says no more than that it failed").into(),
            );
        }
        if is_done(status) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return failed(format!("it is {status:?} after {} s", LIMIT.as_secs()));
        }
        thread::sleep(PAUSE);
    }
}
