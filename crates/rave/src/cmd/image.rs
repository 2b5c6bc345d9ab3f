//! `cargo xtask image`

mod locked;

use crate::build;
use crate::cli;
use crate::cmd::check_reproducible;
use crate::cmd::sandbox::templates;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;
use rave_spec::{Base, Format};

/// Runs the command.
pub fn run(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    if settings.base == Base::Nixos {
        build::refuse(args)?;
    }
    if let Some(manifest) = &args.locked {
        return locked::run(args, manifest, settings, ui);
    }
    if args.check_reproducible {
        return check_reproducible::run(args, settings, ui);
    }
    let formats = build::prepare(args, settings, ui)?;
    if args.warm && !formats.contains(&Format::Qemu) {
        return Err(CommandError::usage("--warm: templates are made of the format qemu, which is not built")
            .remedy("add --format qemu")
            .into());
    }
    let built = build::build(settings, &build::of_image(args, &formats), ui)?;
    if !built.changed {
        ui.note("nothing changed: all artifacts are up to date");
    }
    if args.warm {
        templates::warm(&built.manifest, settings, ui)?;
    }
    if args.json {
        ui.data(&serde_json::to_string_pretty(&built.manifest)?);
    } else {
        for artifact in built.manifest.artifacts.iter().filter(|artifact| formats.contains(&artifact.format))
        {
            artifact.files.iter().for_each(|file| ui.data(settings.out_dir.join(&file.name).as_str()));
        }
    }
    Ok(Code::Ok)
}
