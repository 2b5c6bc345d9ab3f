//! `cargo xtask codegen`: writes the generated files, or lists the outdated ones.

use anyhow::Context as _;
use rave::command_error::CommandError;
use rave::exit::Code;
use rave::settings::Settings;
use rave::ui::Ui;

use crate::cli;
use crate::codegen;

pub(crate) fn run(args: &cli::Codegen, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let outdated =
        codegen::outdated(codegen::all(), &settings.root).context("cannot read generated files")?;
    if args.check && !outdated.is_empty() {
        let error = CommandError::new(Code::CheckFailed, "generated files are out of date");
        let error = codegen::report(&outdated).into_iter().fold(error, CommandError::detail);
        return Err(error.remedy(codegen::COMMAND).into());
    }
    for outdated in &outdated {
        let path = &outdated.file.path;
        codegen::write(&outdated.file, &settings.root).with_context(|| format!("cannot write {path}"))?;
        ui.note(&format!("wrote {path}"));
    }
    if outdated.is_empty() {
        ui.note("generated files are up to date");
    }
    Ok(Code::Ok)
}
