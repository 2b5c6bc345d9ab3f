//! Node.js on an emulated processor. There each piece of machine code that V8 makes must be translated once more when
//! it runs, so that less of it is faster: the router's start takes a third of the processor time. And it runs as it should: of what
//! V8 optimised, QEMU 7.2 made illegal instructions and reads out of bounds now and then. On a real processor,
//! which includes KVM, V8's own defaults are right.

use crate::error::Error;
use crate::files;
use crate::spawn;
use std::path::Path;
use std::time::Duration;

/// An environment file, systemd.exec(5), that the units of Node.js programs read, and the router's command as a shell's.
pub(super) const NODE_FLAGS: &str = "/run/rave/node-flags";

/// No optimising compilers for JavaScript, WebAssembly and regular expressions, and no WebAssembly compiled before it
/// is called (`node --v8-options`).
const FLAGS: &str = "--no-opt --no-sparkplug --liftoff-only --wasm-lazy-compilation --regexp-interpret-all";

/// What systemd-detect-virt(1) says of QEMU without KVM.
const EMULATED: &str = "qemu";

/// Writes the flags where the processor is emulated.
pub(super) fn configure(place: &Path) -> Result<(), Error> {
    // It ends with 1 on real hardware, and a system that cannot say is taken for such.
    let kind = spawn::output("systemd-detect-virt", &["--vm"], Duration::from_secs(20)).unwrap_or_default();
    if kind.trim() == EMULATED {
        // Whoever comes first makes the folder: units start side by side.
        if let Some(folder) = place.parent() {
            files::directory(folder, 0o755, None)?;
        }
        files::write(place, 0o644, None, format!("RAVE_NODE_FLAGS=\"{FLAGS}\"\n"))?;
        println!("the processor is emulated: Node.js services start with {FLAGS}");
    }
    Ok(())
}
