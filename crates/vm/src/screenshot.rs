//! The contents of a machine's screen.

use std::time::Duration;

use camino::{Utf8Path, absolute_utf8};
use rave_fs::replace_by;
use serde_json::json;

use crate::Error;
use crate::instance::Instance;

/// How long QEMU may take to write the picture: it compresses a few megabytes, while a guest may be using all
/// processors.
const SCREENDUMP_DEADLINE: Duration = Duration::from_secs(60);

impl Instance {
    /// Writes the contents of the machine's screen as a PNG, to a temporary file that is renamed. The machine need not
    /// have a display, and its guest need not be up: before a driver has taken over the video device, it shows the text
    /// of the firmware and the boot loader. The guest's processors are paused meanwhile.
    ///
    /// Uses QMP's `screendump`, which supports the format `png` since QEMU 7.1.
    pub fn screenshot(&mut self, png: &Utf8Path) -> Result<(), Error> {
        // QEMU's working folder may differ from ours.
        let png = absolute_utf8(png).map_err(|e| Error::io("write", png, e))?;
        let dump = |temporary: &Utf8Path| {
            let arguments = json!({ "filename": temporary, "format": "png" });
            self.qmp.execute("screendump", arguments, SCREENDUMP_DEADLINE).map(drop)
        };
        replace_by(&png, dump, |e| Error::io("write", &png, e))
    }
}
