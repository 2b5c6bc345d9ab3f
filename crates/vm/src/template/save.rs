//! QEMU's part: saves a machine's devices to a file, and restores them.

use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde_json::{Value, json};

use crate::Error;
use crate::instance::PATIENT;
use crate::qmp::Client;

/// How long saving or restoring the state of the devices may take, while QEMU keeps answering: it is half a megabyte
/// and takes less than a second on an idle host.
const LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(2);

/// Stops the machine and writes the state of its devices. Its memory is in its own file (`x-ignore-shared`).
pub(super) fn save(qmp: &mut Client, devices: &Utf8Path) -> Result<(), Error> {
    qmp.execute("stop", Value::Null, PATIENT)?;
    ignore_shared(qmp)?;
    qmp.execute("migrate", json!({ "uri": format!("file:{devices}") }), PATIENT)?;
    wait(qmp, devices, "query-migrate", |status| status == "completed")
}

/// Restores the state of the devices in a machine that waits for it, and runs the machine.
pub(crate) fn restore(qmp: &mut Client, devices: &Utf8Path) -> Result<(), Error> {
    ignore_shared(qmp)?;
    resume(qmp, devices)
}

/// The same from a stream without shared memory to ignore.
pub(crate) fn resume(qmp: &mut Client, devices: &Utf8Path) -> Result<(), Error> {
    qmp.execute("migrate-incoming", json!({ "uri": format!("file:{devices}") }), PATIENT)?;
    wait(qmp, devices, "query-status", |status| status != "inmigrate")?;
    qmp.execute("cont", Value::Null, PATIENT).map(drop)
}

fn ignore_shared(qmp: &mut Client) -> Result<(), Error> {
    let capabilities = json!([{ "capability": "x-ignore-shared", "state": true }]);
    qmp.execute("migrate-set-capabilities", json!({ "capabilities": capabilities }), PATIENT).map(drop)
}

fn wait(
    qmp: &mut Client,
    devices: &Utf8Path,
    ask: &str,
    is_done: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = qmp.execute(ask, Value::Null, PATIENT)?;
        let status = answer["status"].as_str().unwrap_or_default();
        let failed = |why: String| Err(Error::io("save or restore", devices, std::io::Error::other(why)));
        if status == "failed" || status == "internal-error" {
            return failed(answer["error-desc"].as_str().unwrap_or("QEMU reported no reason").into());
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
