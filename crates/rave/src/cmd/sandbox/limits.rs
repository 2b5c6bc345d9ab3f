//! Limits for all sandboxes together: `sandboxes` of rave.toml, and the host's free memory and disk.

use rave_image::space::{available_memory, free_bytes};
use rave_sandbox::admission::admit;
use rave_sandbox::limits::{Free, Limits};
use rave_sandbox::{Error, Store};
use rave_spec::MebiBytes;

use crate::settings::Settings;

/// The limits from the settings.
pub(super) fn of(settings: &Settings) -> Limits {
    let bytes = |mebibytes: Option<MebiBytes>| mebibytes.map(|mebibytes| mebibytes.get() << 20);
    let sandboxes = settings.spec.spec.sandboxes;
    let keep_audit = Some(sandboxes.keep_audit * 24 * 3600);
    Limits { memory: bytes(sandboxes.memory), disk: bytes(sandboxes.disk), keep_audit }
}

/// Refuses to start another sandbox if that exceeds the limits of the last `up`.
pub(super) fn check(store: &Store) -> Result<(), Error> {
    let free = Free { memory: available_memory(), disk: free_bytes(store.root()).ok() };
    admit(store, free)
}
