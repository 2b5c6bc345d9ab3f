//! Where a machine's memory is stored on the host.

use camino::Utf8PathBuf;

/// Where the memory is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// In QEMU's own memory.
    Anonymous,
    /// In this file, which the machine writes: the memory of a template.
    File(Utf8PathBuf),
    /// A private mapping of this file, which is never written: the memory of a clone. The machine does not boot; it
    /// waits for the state of its devices. Needs [`crate::qemu::Facts::has_private_memory`].
    CopyOf(Utf8PathBuf),
    /// The same, with the memory of a machine that was running: that of a moment ([`crate::moment`]).
    Resumed {
        /// The file.
        file: Utf8PathBuf,
        /// The saved machine has a generation ID that changes when it is cloned (vmgenid).
        has_generation: bool,
    },
}
