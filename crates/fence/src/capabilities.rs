//! The privileges of root, capabilities(7).

use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::error::Error;

/// Drops them. Root keeps the capability to open files of other users, as it always could: the path rules decide which
/// paths it may open.
pub(crate) fn drop() -> Result<(), Error> {
    let kept = if geteuid().is_root() { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    match set_capabilities(None, sets) {
        // Root in a container may lack even that.
        Err(rustix::io::Errno::PERM) => {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets).map_err(|e| Error::system("drop capabilities", e))
        }
        other => other.map_err(|e| Error::system("drop capabilities", e)),
    }
}
