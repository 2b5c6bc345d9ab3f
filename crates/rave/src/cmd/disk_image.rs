//! `rave disk-image`: the disk of a Nix closure. The flake's builders run it; it reads no settings.

use rave_image::disk_image::{DiskImageRequest, write};

use crate::build::date_of_environment;
use crate::cli;
use crate::exit::Code;
use crate::ui::Ui;

/// The timestamp if the environment sets none: 1980-01-01, the earliest date of FAT, as in nixpkgs' builders.
pub(super) const FIRST_OF_FAT: u64 = 315_532_800;

/// Runs the command.
pub fn run(args: &cli::DiskImage, ui: &Ui) -> anyhow::Result<Code> {
    let request = DiskImageRequest {
        registration: &args.registration,
        store: &args.store,
        system: &args.system,
        kernel: &args.kernel,
        initrd: &args.initrd,
        arguments: &args.arguments,
        files: args.files.as_deref(),
        root_uuid: &args.root_uuid,
        esp_mib: args.esp_mib,
        grub: &args.grub,
        output: &args.out,
        epoch: date_of_environment()?.unwrap_or(FIRST_OF_FAT),
    };
    let content = write(&request, &ui.sink())?;
    ui.data(&content.to_string());
    Ok(Code::Ok)
}
