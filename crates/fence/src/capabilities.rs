//! The rights of root, capabilities(7).

use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::error::Error;

/// Gives them up. Root keeps the one that lets it open files of others, as it always could: which paths it may open is another
/// part's matter.
pub(crate) fn drop() -> Result<(), Error> {
    let kept = if geteuid().is_root() { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    match set_capabilities(None, sets) {
        // A root of a container may lack even that.
        Err(rustix::io::Errno::PERM) => {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets).map_err(|e| Error::system("drop capabilities", e))
        }
        other => other.map_err(|e| Error::system("drop capabilities", e)),
    }
}
