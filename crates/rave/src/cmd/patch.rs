//! `cargo xtask patch`: an artifact of a newer release, made from an older one and a patch.

use rave_release::patch::{self, Restore};

use super::trust::{self, Trust};
use crate::cli;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::Patch, ui: &Ui) -> anyhow::Result<Code> {
    let mut trust = Trust::of(&args.keys, trust::store()?)?;
    let beside = args.file.parent().filter(|folder| *folder != "").unwrap_or(".".into());
    let mut formats = args.formats.clone();
    formats.sort();
    formats.dedup();
    let request = Restore {
        patch: &args.file,
        base: &args.base,
        formats: &formats,
        out: args.out.as_deref().unwrap_or(beside),
        now: super::release::now(),
        statements: &trust.statements,
    };
    let restored = patch::restore(&request, &mut trust.trusted, &mut trust.store, &ui.sink());
    trust.keep(ui);
    let restored = restored?;
    let (header, signer) = (&restored.header, &restored.signer);
    ui.note(&format!(
        "{} {} from {}, signed by {} {}",
        header.profile, header.target.version, header.base.version, signer.principal, signer.fingerprint
    ));
    restored.files.iter().for_each(|file| ui.data(file.as_str()));
    Ok(Code::Ok)
}
