//! V8 on an emulated processor, in Node.js and in Chromium. Machine code that V8 generates must be translated again to
//! run there, so generating less is faster: the router's start takes a third of the processor time, the browser's first
//! page two thirds. It is also more reliable: QEMU 7.2 sometimes turned optimised code into illegal instructions and
//! out-of-bounds reads. On a real processor, which includes KVM, V8's own defaults are right.

use crate::error::Error;
use crate::files;
use crate::spawn;
use std::path::Path;
use std::time::Duration;

/// The folder of both files.
pub(super) const FOLDER: &str = "/run/rave";

/// An environment file, systemd.exec(5), for the units of Node.js programs, and for the router's command as a shell
/// script.
const NODE: &str = "node-flags";

/// A file that `/etc/chromium.d/rave` reads.
const CHROMIUM: &str = "chromium-flags";

/// Disables the optimising compilers for JavaScript, WebAssembly and regular expressions, and compiling WebAssembly
/// before it is called (`node --v8-options`).
const FLAGS: &str = "--no-opt --no-sparkplug --liftoff-only --wasm-lazy-compilation --regexp-interpret-all";

/// The output of systemd-detect-virt(1) under QEMU without KVM.
const EMULATED: &str = "qemu";

/// Writes the flags if the processor is emulated.
pub(super) fn configure(folder: &Path) -> Result<(), Error> {
    // It exits with 1 on real hardware, which is also assumed if it fails otherwise.
    let kind = spawn::output("systemd-detect-virt", &["--vm"], Duration::from_secs(20)).unwrap_or_default();
    if kind.trim() == EMULATED {
        write(folder)?;
        println!("the processor is emulated: Node.js services and Chromium start with {FLAGS}");
    }
    Ok(())
}

fn write(folder: &Path) -> Result<(), Error> {
    // The first one creates the folder: units start in parallel.
    files::directory(folder, 0o755, None)?;
    files::write(&folder.join(NODE), 0o644, None, format!("RAVE_NODE_FLAGS=\"{FLAGS}\"\n"))?;
    // Without a graphics card, a GPU process does the same work through an emulated shader compiler.
    let chromium = format!("--disable-gpu --js-flags={}", FLAGS.replace(' ', ","));
    files::write(&folder.join(CHROMIUM), 0o644, None, format!("RAVE_CHROMIUM_FLAGS=\"{chromium}\"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read like in the browser's wrapper, which sources every file of `/etc/chromium.d`.
    #[test]
    fn the_browser_gets_only_the_written_flags() {
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
