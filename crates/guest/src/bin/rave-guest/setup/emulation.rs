//! V8 on an emulated processor, in Node.js and in Chromium. There each piece of machine code that V8 makes must be translated
//! once more when it runs, so that less of it is faster: the router's start takes a third of the processor time, the
//! browser's first page two thirds. And it runs as it should: of what V8 optimised, QEMU 7.2 made illegal instructions and
//! reads out of bounds now and then. On a real processor, which includes KVM, V8's own defaults are right.

use crate::error::Error;
use crate::files;
use crate::spawn;
use std::path::Path;
use std::time::Duration;

/// The folder of both files.
pub(super) const FOLDER: &str = "/run/rave";

/// An environment file, systemd.exec(5), that the units of Node.js programs read, and the router's command as a shell's.
const NODE: &str = "node-flags";

/// What `/etc/chromium.d/rave` reads.
const CHROMIUM: &str = "chromium-flags";

/// No optimising compilers for JavaScript, WebAssembly and regular expressions, and no WebAssembly compiled before it
/// is called (`node --v8-options`).
const FLAGS: &str = "--no-opt --no-sparkplug --liftoff-only --wasm-lazy-compilation --regexp-interpret-all";

/// What systemd-detect-virt(1) says of QEMU without KVM.
const EMULATED: &str = "qemu";

/// Writes the flags where the processor is emulated.
pub(super) fn configure(folder: &Path) -> Result<(), Error> {
    // It ends with 1 on real hardware, and a system that cannot say is taken for such.
    let kind = spawn::output("systemd-detect-virt", &["--vm"], Duration::from_secs(20)).unwrap_or_default();
    if kind.trim() == EMULATED {
        write(folder)?;
        println!("the processor is emulated: Node.js services and Chromium start with {FLAGS}");
    }
    Ok(())
}

fn write(folder: &Path) -> Result<(), Error> {
    // Whoever comes first makes the folder: units start side by side.
    files::directory(folder, 0o755, None)?;
    files::write(&folder.join(NODE), 0o644, None, format!("RAVE_NODE_FLAGS=\"{FLAGS}\"\n"))?;
    // Without a graphics card, drawing in a process for it is the same work by way of an emulated shader compiler.
    let chromium = format!("--disable-gpu --js-flags={}", FLAGS.replace(' ', ","));
    files::write(&folder.join(CHROMIUM), 0o644, None, format!("RAVE_CHROMIUM_FLAGS=\"{chromium}\"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read as the browser's wrapper reads them, which sources every file of `/etc/chromium.d`.
    #[test]
    fn the_browser_gets_the_flags_only_where_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let asset = include_str!("../../../../assets/desktop/chromium-flags");
        let asset = asset.replace(FOLDER, folder.path().to_str().unwrap());
        let flags = || {
            let script = format!("CHROMIUM_FLAGS=--first\n{asset}\nprintf %s \"$CHROMIUM_FLAGS\"");
            spawn::output("sh", &["-euc", &script], Duration::from_secs(20)).unwrap()
        };
        assert!(flags().starts_with(" --first --no-first-run ") && !flags().contains("gpu"), "{}", flags());
        write(folder.path()).unwrap();
        let emulated = flags();
        assert!(emulated.contains(" --first --no-first-run "), "{emulated}");
        assert!(emulated.starts_with("--disable-gpu --js-flags=--no-opt,--no-sparkplug,"), "{emulated}");
    }
}
