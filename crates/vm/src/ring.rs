//! Logs of a guest that QEMU keeps in its own memory, only the last part of each: such a log fills no disk and needs no
//! process to truncate it.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rave_guest::protocol::PORT_NAME;
use rave_process::interrupt;
use serde_json::{Value, json};

use crate::Error;
use crate::qmp::Client;

/// Bytes of the firmware's log that QEMU keeps, a power of two (qapi/char.json, `ChardevRingbuf`).
pub(crate) const FIRMWARE_LOG: u64 = 256 << 10;

/// Bytes that QEMU keeps of each log of a detached machine, a power of two.
pub const DETACHED_LOG: u64 = 1 << 20;

/// The device of the readiness port.
pub(crate) const READY_DEVICE: &str = "ready-port";

/// How long QEMU may take to return the firmware's log, which is polled.
const READ_DEADLINE: Duration = Duration::from_secs(1);

/// How often to check whether QEMU has released a device.
const POLL: Duration = Duration::from_millis(10);

/// The firmware's new output since the last call; empty if QEMU has ended or does not answer.
pub(crate) fn firmware(qmp: &mut Client) -> Vec<u8> {
    let arguments = json!({ "device": "firmware", "size": FIRMWARE_LOG, "format": "base64" });
    let answer = qmp.execute("ringbuf-read", arguments, READ_DEADLINE).unwrap_or_default();
    answer.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
}

/// Redirects the console and the readiness port into QEMU's memory, [`DETACHED_LOG`] bytes of each.
pub(crate) fn keep_logs(qmp: &mut Client, deadline: Duration) -> Result<(), Error> {
    let ring = json!({ "type": "ringbuf", "data": { "size": DETACHED_LOG } });
    qmp.execute("chardev-change", json!({ "id": "serial", "backend": ring }), deadline)?;
    // A virtio-serial port keeps its file ("Chardev user does not support chardev hotswap"), so it is replaced by
    // another port. The file is busy until every thread of QEMU has noticed that the device is gone.
    qmp.execute("device_del", json!({ "id": READY_DEVICE }), deadline)?;
    let until = Instant::now() + deadline;
    while let Err(error) = qmp.execute("chardev-remove", json!({ "id": "ready" }), deadline) {
        if Instant::now() >= until {
            return Err(error);
        }
        interrupt::pause(POLL)?;
    }
    qmp.execute("chardev-add", json!({ "id": "ready", "backend": ring }), deadline)?;
    let port =
        json!({ "driver": "virtserialport", "id": READY_DEVICE, "chardev": "ready", "name": PORT_NAME });
    qmp.execute("device_add", port, deadline).map(|_: Value| ())
}
