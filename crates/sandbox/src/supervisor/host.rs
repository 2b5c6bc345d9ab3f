//! What the supervisor needs of the host: QEMU, ports.

use std::time::Duration;

use rave_vm::accel::Engine;
use rave_vm::qemu::Qemu;
use rave_vm::run_dir::InstanceRecord;

use crate::place::Place;

/// How long QEMU may take to end after `quit`.
pub(super) const QUIT: Duration = Duration::from_secs(10);

/// What the supervisor needs of the host to start a machine.
#[derive(Debug)]
pub struct Host {
    /// QEMU.
    pub qemu: Qemu,
    /// What runs the guest's instructions.
    pub engine: Engine,
}

/// The ports that the machine had last time: they are reused if they are free, so that noted ports remain valid.
pub(super) fn last_ports(place: &Place) -> Vec<(String, u16)> {
    let forwards = InstanceRecord::last(&place.machine().run_dir).map(|record| record.forwards);
    forwards.unwrap_or_default().into_iter().map(|forward| (forward.service, forward.host)).collect()
}
