//! Saves the machine at this moment, for a snapshot or for forks.

use std::time::Duration;

use camino::Utf8Path;
use rave_vm::machine::Arch;
use rave_vm::moment::{Freezing, Moment};
use rave_vm::qemu::Qemu;
use rave_vm::standalone::Standalone;

use super::shared::Shared;
use crate::place::Place;

/// What a guest of an earlier version answers.
const TOO_OLD: &str = "this machine has an identity";

/// Saves it in `folder`; how long it stood, or why it was not saved.
pub(super) fn run(
    machine: &mut Standalone,
    place: &Place,
    shared: &Shared,
    folder: &Utf8Path,
) -> Result<Duration, String> {
    let Some(guest) = shared.hold() else {
        shared.release();
        return Err("its guest does not answer yet".into());
    };
    let frozen = freeze(machine, place, &guest, folder);
    shared.release();
    frozen
}

fn freeze(
    machine: &mut Standalone,
    place: &Place,
    guest: &rave_guest::channel::client::Client,
    folder: &Utf8Path,
) -> Result<Duration, String> {
    let qemu = Qemu::find(Arch::X86_64).map_err(|error| error.to_string())?;
    let freezing = Freezing {
        layers: &place.layers(),
        on: &place.on().ok_or("the image of its disk is gone")?,
        memory: &place.moment().memory(),
        guest,
        moment: &Moment::at(folder),
    };
    machine.freeze(&freezing, &qemu).map_err(|error| {
        let why = error.to_string();
        if why.contains(TOO_OLD) {
            "its image is older than this version of RAVE, and cannot be saved while it runs: stop it first"
                .into()
        } else {
            why
        }
    })
}
