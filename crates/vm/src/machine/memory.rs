//! Where a machine's memory lies on the host.

use camino::Utf8PathBuf;

/// Where the memory lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// In QEMU.
    Anonymous,
    /// In this file, which the machine writes: that of a template.
    File(Utf8PathBuf),
    /// As this file has it, which is mapped privately and never written: that of a clone. The machine does not boot; it waits
    /// for the state of its devices. Needs [`crate::qemu::Facts::has_private_memory`].
    CopyOf(Utf8PathBuf),
    /// The same, as a machine that ran had it: that of a moment ([`crate::moment`]).
    Resumed {
        /// The file.
        file: Utf8PathBuf,
        /// The machine that was saved has a number that changes when it is cloned (vmgenid).
        has_generation: bool,
    },
}
