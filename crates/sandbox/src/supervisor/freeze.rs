//! Saves the machine at this moment, for a snapshot or for forks.

use std::time::Duration;

use camino::Utf8Path;
use rave_vm::Error;
use rave_vm::machine::Arch;
use rave_vm::moment::{Freezing, Frozen, Moment};
use rave_vm::qemu::Qemu;
use rave_vm::standalone::Standalone;

use super::shared::Shared;
use crate::place::Place;

/// Saves it in `folder`; returns how long it was paused, or why it was not saved.
pub(super) fn run(
    machine: &mut Standalone,
    place: &Place,
    shared: &Shared,
    folder: &Utf8Path,
) -> Result<Duration, String> {
    let message = |error: Error| match error.remedy() {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    };
    let (layers, memory, moment) = (place.layers(), place.moment().memory(), Moment::at(folder));
    let on = place.on().ok_or("the image of its disk is missing")?;
    let qemu = Qemu::find(Arch::X86_64).map_err(message)?;
    let Some(guest) = shared.hold() else {
        shared.release();
        return Err("its guest does not answer yet".into());
    };
    let freezing = Freezing { layers: &layers, on: &on, memory: &memory, guest: &guest, moment: &moment };
    let frozen = machine.freeze(&freezing, &qemu);
    // Programs may be started while the layer is copied.
    shared.release();
    frozen.and_then(Frozen::finish).map_err(message)
}
