//! Disk controllers, as the firmware sees them.

use std::time::Duration;

use rave_vm::Error;
use rave_vm::boot::Cause;
use rave_vm::machine::{Disk, DiskFormat, Interface, Machine};

use crate::guest::{Bench, sector_that_prints};

/// The memory of a typical sandbox, MiB: with little memory the firmware maps registers elsewhere.
const MEMORY: u64 = 4096;

/// The longest that the firmware may take on a loaded machine, seconds.
const PATIENCE: u64 = 120;

/// `SeaBIOS` lacks, or loses in a new version, drivers and address ranges that Linux has: a machine may fail before its
/// kernel.
#[test]
fn the_bios_starts_a_disk_on_each_controller() {
    for interface in [
        Interface::Virtio,
        Interface::Ahci,
        Interface::Nvme,
        Interface::Scsi,
        Interface::Pvscsi,
        Interface::UsbStick,
    ] {
        let bench = Bench::new();
        let machine = bench.with_disk(&sector_that_prints("rave: boot loader\r\n"));
        let path = machine.disk.as_ref().unwrap().path.clone();
        let disk = Some(Disk::whole(path, DiskFormat::Raw, interface));
        let mut instance = bench.boot(Machine { disk, memory_mib: MEMORY, ..machine }).unwrap();
        let starts = (1..PATIENCE).any(|seconds| {
            match instance.wait_ready(Duration::from_secs(seconds), &mut |_| {}) {
                Err(Error::Boot(failure)) => {
                    let name = interface.as_str();
                    assert!(matches!(failure.cause, Cause::Timeout { .. }), "{name}: {failure}");
                    failure.serial_tail == ["rave: boot loader"]
                }
                other => panic!("expected a boot loader that stops, found {other:?}"),
            }
        });
        assert!(starts, "{}", interface.as_str());
        instance.kill().unwrap();
    }
}
