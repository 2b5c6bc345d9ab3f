//! `rave iso-image`: the ISO of a disk of a Nix closure. The flake's builders run it; it reads no settings.

use rave_image::iso_image::{IsoImageRequest, write};

use super::disk_image::FIRST_OF_FAT;
use crate::build::date_of_environment;
use crate::cli;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::IsoImage, ui: &Ui) -> anyhow::Result<Code> {
    let request = IsoImageRequest {
        disk: &args.disk,
        kernel: &args.kernel,
        initrd: &args.initrd,
        arguments: &args.arguments,
        grub: &args.grub,
        output: &args.out,
        epoch: date_of_environment()?.unwrap_or(FIRST_OF_FAT),
    };
    write(&request, &ui.sink())?;
    Ok(Code::Ok)
}
