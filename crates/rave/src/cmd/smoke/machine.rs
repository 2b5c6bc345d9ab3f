//! The context of one row of the matrix: hardware, files and QEMU.

use rave_image::Manifest;
use rave_smoke::matrix::{FirmwareKind, MatrixRow};
use rave_vm::accel::ProbeResult;
use rave_vm::firmware;
use rave_vm::machine::{Arch, Firmware};
use rave_vm::qemu::Qemu;

use super::row_output::RowOutput;
use super::scratch::Scratch;
use crate::settings::Settings;

/// What every step of a row needs.
#[derive(Clone, Copy)]
pub(super) struct RowContext<'a> {
    pub(super) settings: &'a Settings,
    pub(super) manifest: &'a Manifest,
    pub(super) qemu: &'a Qemu,
    pub(super) probe: &'a ProbeResult,
    pub(super) row: &'a MatrixRow,
    pub(super) scratch: &'a Scratch,
    pub(super) output: &'a RowOutput<'a>,
}

/// The firmware of the row's machine.
pub(super) fn firmware_of(row: &MatrixRow) -> anyhow::Result<Firmware> {
    match row.firmware {
        FirmwareKind::Bios => Ok(Firmware::Bios),
        FirmwareKind::Uefi => Ok(firmware::find_uefi(Arch::X86_64)?),
    }
}
