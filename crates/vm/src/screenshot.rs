//! The picture on a machine's screen.

use std::fs;
use std::time::Duration;

use camino::{Utf8Path, absolute_utf8};
use serde_json::json;

use crate::Error;
use crate::instance::Instance;

/// How long QEMU may take to write the picture: it packs a few megabytes, beside a guest that uses all processors.
const SCREENDUMP_DEADLINE: Duration = Duration::from_secs(60);

impl Instance {
    /// Writes what the machine's screen shows as a PNG, beside its place and renamed into it. The machine need not have
    /// a display, and its guest need not be up: before a driver has taken the video device it shows the firmware's and
    /// the boot loader's text. The guest's processors stand still for the moment.
    ///
    /// By QMP's `screendump`, whose format `png` is in QEMU since 7.1.
    pub fn screenshot(&mut self, png: &Utf8Path) -> Result<(), Error> {
        // QEMU's working folder need not stay ours.
        let png = absolute_utf8(png).map_err(|e| Error::io("write", png, e))?;
        let name = png.file_name().unwrap_or("screen.png");
        let beside = png.with_file_name(format!(".{name}.{}", std::process::id()));
        let arguments = json!({ "filename": beside, "format": "png" });
        let written = self
            .qmp
            .execute("screendump", arguments, SCREENDUMP_DEADLINE)
            .and_then(|_| fs::rename(&beside, &png).map_err(|e| Error::io("write", &png, e)));
        written.inspect_err(|_| drop(fs::remove_file(&beside))) // it may not even have been made
    }
}
