//! `cargo xtask verify`: verifies a release, offline and without a checkout. The exit code is 0 or 1.

pub mod rebuild;

use rave_process::interrupt;
use rave_release::key_statement::KeyStatement;
use rave_release::signers;
use rave_release::verify::{self, FileRow, Request, Verdict};
use serde_json::json;

use super::trust::{self, Trust};
use crate::cli;
use crate::command_error::{CommandError, lines_of};
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command. What could not be checked counts as not verified.
pub fn run(args: &cli::Verify, ui: &Ui) -> Code {
    match verified(args, ui) {
        // The document on stdout says it all.
        Ok(Some(verified)) if args.json && verified.verdict.problems.is_empty() => Code::Ok,
        Ok(verified) => verified.map_or(Code::Ok, |verified| end(&verified, ui)),
        Err(error) if is_interrupted(&error) => {
            ui.error(&lines_of(&error));
            Code::Interrupted
        }
        Err(error) => {
            ui.error(&lines_of(&error));
            Code::CheckFailed
        }
    }
}

/// A verdict, and the remedy if there are problems.
struct Verified {
    verdict: Verdict,
    remedy: &'static str,
}

/// The verdict, whose details are shown here. None if there is no release, only keys or statements about them.
fn verified(args: &cli::Verify, ui: &Ui) -> anyhow::Result<Option<Verified>> {
    let mut store = trust::store()?;
    if let Some(file) = &args.trust {
        // Read once: it may be a pipe.
        let text = signers::read_text(file)?;
        signers::of_file(file, &text)?;
        for signer in store.pin(&text)? {
            ui.note(&format!("trusted from now on: {} {}", signer.principal, signer.fingerprint()));
        }
        store.save()?;
    }
    let mut trust = Trust::of(&args.keys, store)?;
    let Some(folder) = &args.folder else {
        learn(&mut trust, ui)?;
        return Ok(None);
    };
    let request = Request {
        folder,
        now: super::release::now(),
        expect: args.expect.as_ref(),
        not_older_than: args.not_older_than.as_ref(),
        commit: args.commit.as_deref(),
        statements: &trust.statements,
    };
    let verdict = verify::verify(&request, &mut trust.trusted, &mut trust.store, &ui.sink());
    // The problems of an interrupted verification say nothing about the release.
    interrupt::check().map_err(|_| CommandError::new(Code::Interrupted, "interrupted"))?;
    if args.json {
        ui.data(&serde_json::to_string_pretty(&as_json(&verdict))?);
    } else {
        ui.table(&["file", "what", "bytes", "valid"], &verdict.files.iter().map(row).collect::<Vec<_>>());
    }
    verdict.notes.iter().for_each(|note| ui.warn(note));
    if args.trust.is_some() {
        trust.store.save()?;
    }
    trust.keep(ui);
    let remedy = match folder {
        folder if !folder.exists() => "name the folder of a release",
        _ if trust.trusted.is_empty() => "give --key FILE, or pin a key with --trust FILE",
        _ => "do not use it; download it again, and get the key through a different channel",
    };
    Ok(Some(Verified { verdict, remedy }))
}

/// Stores the statements that arrived without a release.
fn learn(trust: &mut Trust, ui: &Ui) -> anyhow::Result<()> {
    if trust.statements.is_empty() {
        return Ok(());
    }
    if trust.trusted.is_empty() {
        return Err(CommandError::usage("no key is trusted that the statements could be about")
            .remedy("give --key FILE, or pin a key with --trust FILE")
            .into());
    }
    let now = super::release::now().max(trust.store.latest());
    let learned = trust.trusted.learn(&trust.statements, now, &mut trust.store);
    if let Some((_, wrong)) = learned.wrong.into_iter().next() {
        return Err(CommandError::usage(wrong).into());
    }
    for number in learned.ignored {
        let about = KeyStatement::of(&trust.statements[number]).map(|statement| statement.fingerprint());
        ui.warn(&format!(
            "nothing was learned from a statement about {}, which is not trusted",
            about.unwrap_or_default()
        ));
    }
    Ok(trust.store.save()?)
}

/// Whether the user ended the command.
fn is_interrupted(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CommandError>().is_some_and(|error| error.code == Code::Interrupted)
}

fn row(row: &FileRow) -> Vec<String> {
    let size = row.size.map_or("-".to_owned(), |size| size.to_string());
    let holds = if row.holds { "yes" } else { "NO" };
    vec![row.path.clone(), row.role.to_string(), size, holds.to_owned()]
}

/// Shows who signed it, or the first problem and the rest.
fn end(verified: &Verified, ui: &Ui) -> Code {
    let Verified { verdict, remedy } = verified;
    let Some((first, rest)) = verdict.problems.split_first() else {
        if let (Some(manifest), Some(signer)) = (&verdict.manifest, &verdict.signer) {
            ui.data(&format!(
                "ok: RAVE {}, base {}, commit {}, signed by {} {}",
                manifest.version, manifest.base, manifest.commit, signer.principal, signer.fingerprint
            ));
        }
        return Code::Ok;
    };
    let mut lines = vec![format!("error: this release does not verify: {first}")];
    lines.extend(rest.iter().map(|problem| format!("  {problem}")));
    lines.push(format!("remedy: {remedy}"));
    ui.error(&lines);
    Code::CheckFailed
}

fn as_json(verdict: &Verdict) -> serde_json::Value {
    let file = |row: &FileRow| json!({"path": row.path, "what": row.role.to_string(), "size": row.size, "holds": row.holds});
    let problem = |problem: &verify::Problem| json!({"about": problem.about, "cause": problem.cause});
    let signer = verdict
        .signer
        .as_ref()
        .map(|signer| json!({"principal": signer.principal, "fingerprint": signer.fingerprint}));
    json!({
        "holds": verdict.problems.is_empty(),
        "version": verdict.manifest.as_ref().map(|manifest| manifest.version.to_string()),
        "commit": verdict.manifest.as_ref().map(|manifest| &manifest.commit),
        "signer": signer,
        "files": verdict.files.iter().map(file).collect::<Vec<_>>(),
        "problems": verdict.problems.iter().map(problem).collect::<Vec<_>>(),
        "notes": verdict.notes
    })
}
