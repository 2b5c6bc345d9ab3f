//! Takes screenshots of a guest.

use std::fs::File;
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::Instance;

use super::{Screenshot, ScreenshotTrigger};

/// The most screenshots of failed checks: more would show the same, and all of them are on one page.
const MOST_FAILED: usize = 8;

/// Where the screenshots of one run go, and those taken so far. A missing screenshot is a warning, never a failed
/// check.
#[derive(Debug)]
pub struct Screenshots {
    folder: Utf8PathBuf,
    name: String,
    /// The screenshots.
    pub taken: Vec<Screenshot>,
    /// Those that could not be taken, and why.
    pub warnings: Vec<String>,
    failed: usize,
}

impl Screenshots {
    /// Screenshots will be stored in `folder`; their file names begin with `name`.
    pub fn new(folder: Utf8PathBuf, name: String) -> Self {
        Self { folder, name, taken: Vec::new(), warnings: Vec::new(), failed: 0 }
    }

    /// Takes a screenshot. A machine that has ended has no screen.
    pub fn take(&mut self, instance: Option<&mut Instance>, trigger: ScreenshotTrigger) {
        if let ScreenshotTrigger::CheckFailed(_) = trigger {
            self.failed += 1;
            if self.failed > MOST_FAILED {
                if self.failed == MOST_FAILED + 1 {
                    let text = format!("only the first {MOST_FAILED} failed checks have a picture");
                    self.warnings.push(text);
                }
                return;
            }
        }
        let file = format!("{}-{}.png", self.name, trigger.slug());
        let path = self.folder.join(&file);
        match shoot(instance, &path) {
            Ok((width, height)) => self.taken.push(Screenshot { file, taken: trigger, width, height }),
            Err(why) => self.warnings.push(format!("no picture of the screen {trigger}: {why}")),
        }
    }
}

fn shoot(instance: Option<&mut Instance>, path: &Utf8Path) -> Result<(u32, u32), String> {
    let ended = || "the machine has ended".to_owned();
    let instance = instance.ok_or_else(ended)?;
    if !matches!(instance.ended(), Ok(None)) {
        return Err(ended());
    }
    instance.screenshot(path).map_err(|error| error.to_string())?;
    size(path).map_err(|error| format!("{path}: {error}"))
}

/// Width and height of a PNG: its signature, then the chunk IHDR with both as big-endian numbers (PNG specification,
/// 5.2 and 11.2.1).
fn size(png: &Utf8Path) -> io::Result<(u32, u32)> {
    let mut head = [0; 24];
    File::open(png)?.read_exact(&mut head)?;
    if !head.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a PNG"));
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    Ok((number(16), number(20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_screenshot_is_a_warning_and_screenshots_are_limited() {
        let mut screenshots = Screenshots::new("/nonexistent".into(), "headless-qemu".into());
        screenshots.take(None, ScreenshotTrigger::Looked);
        assert_eq!(
            screenshots.warnings,
            ["no picture of the screen after the checks that only look: the machine has ended"]
        );
        for n in 0..20 {
            screenshots.take(None, ScreenshotTrigger::CheckFailed(format!("check-{n}")));
        }
        assert_eq!(screenshots.warnings.len(), 1 + MOST_FAILED + 1, "{:?}", screenshots.warnings);
        assert!(screenshots.taken.is_empty());
    }

    #[test]
    fn the_size_is_parsed_and_non_png_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("a.png");
        std::fs::write(&file, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x05\0\0\0\x03\x20...").unwrap();
        assert_eq!(size(&file).unwrap(), (1280, 800));
        for bytes in [&b"P6 1280 800 255 and more bytes than a head"[..], b"\x89PNG"] {
            std::fs::write(&file, bytes).unwrap();
            assert!(size(&file).is_err());
        }
    }
}
