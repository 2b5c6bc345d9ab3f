//! The picture on a machine's screen.

use std::time::Duration;

use camino::{Utf8Path, absolute_utf8};
use rave_fs::replace_by;
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
        let dump = |beside: &Utf8Path| {
            let arguments = json!({ "filename": beside, "format": "png" });
            self.qmp.execute("screendump", arguments, SCREENDUMP_DEADLINE).map(drop)
        };
        replace_by(&png, dump, |e| Error::io("write", &png, e))
    }
}
