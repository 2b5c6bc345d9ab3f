//! `cargo xtask convert`: a disk of any origin in the other formats.

use camino::Utf8Path;
use rave_image::build::appliance;
use rave_image::convert::{ConvertRequest, convert};
use rave_image::foreign::Links;
use rave_image::formats::CONVERTIBLE;
use rave_spec::{Compress, Format};

use crate::build::{ensure_compression, epoch, lock};
use crate::cli::{self, FormatFlag};
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::Convert, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let formats = formats(settings, &args.formats);
    ensure_compression(settings, ui, &formats, args.compress)?;
    let folder = args.file.parent().filter(|folder| *folder != "").unwrap_or(Utf8Path::new("."));
    let request = ConvertRequest {
        file: &args.file,
        links: if args.allow_backing { Links::Follow } else { Links::Refuse },
        is_raw: args.raw,
        formats: &formats,
        out_dir: args.out.as_deref().unwrap_or(folder),
        cache_dir: &settings.cache_dir,
        log_dir: &settings.state_dir.join("logs"),
        // Nothing is known of the guest: enough video memory for a desktop does no harm without one.
        appliance: appliance(&settings.spec.spec, "", true),
        compress: args.compress.map_or(settings.spec.spec.compress, Compress::all),
        grown_to: None,
        // Only the Debian base has the lock: a conversion under nix works without it.
        epoch: epoch(settings, || Ok(lock(settings)?.date()))?,
    };
    let files = convert(&request, &ui.sink())?;
    for file in files {
        ui.data(file.as_str());
    }
    Ok(Code::Ok)
}

/// `all` means the formats that any disk can be converted to; [`convert`] refuses other formats that are named.
fn formats(settings: &Settings, flags: &[FormatFlag]) -> Vec<Format> {
    let all = flags.contains(&FormatFlag::All);
    settings.formats(flags).into_iter().filter(|format| !all || CONVERTIBLE.contains(format)).collect()
}
