//! `cargo xtask release keygen`, `rotate` and `revoke`.

use std::fs;

use camino::Utf8Path;
use rave_fs::Replace;
use rave_release::dsse::Envelope;
use rave_release::key::{self, LockedKey, SigningKey};
use rave_release::key_statement::{self, KeyChange, KeyStatement};
use rave_release::trust;

use super::passphrase;
use crate::cli::{Keygen, PassphraseFrom, ReleaseCommand, Revoke, Rotate};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command.
pub fn run(command: &ReleaseCommand, ui: &Ui) -> anyhow::Result<Code> {
    match command {
        ReleaseCommand::Keygen(args) => keygen(args, ui),
        ReleaseCommand::Rotate(args) => rotate(args, ui),
        ReleaseCommand::Revoke(args) => revoke(args, ui),
    }
}

fn keygen(args: &Keygen, ui: &Ui) -> anyhow::Result<Code> {
    let files = key::generate(&args.out, &args.principal, &passphrase::new(&args.passphrase, ui)?)?;
    ui.note(&format!("private key: {}; keep it offline, and its passphrase elsewhere", files.private));
    ui.note(&format!("for receivers: {}", files.allowed_signers));
    ui.data(fs::read_to_string(&files.allowed_signers)?.trim_end());
    Ok(Code::Ok)
}

fn rotate(args: &Rotate, ui: &Ui) -> anyhow::Result<Code> {
    let old = open(&args.key, &args.passphrase, ui)?;
    let from = PassphraseFrom { passphrase_file: args.to_passphrase_file.clone(), passphrase_fd: None };
    let new = open(&args.to, &from, ui)?;
    let change = KeyChange::Rotate { successor: new.public().clone(), principal: args.principal.clone() };
    let statement = KeyStatement { key: old.public().clone(), serial: args.serial, change };
    add(&args.out, &statement, statement.sign(&[&old, &new])?, ui)
}

fn revoke(args: &Revoke, ui: &Ui) -> anyhow::Result<Code> {
    let signing = open(&args.key, &args.passphrase, ui)?;
    let key = match &args.revoked {
        Some(path) => key::read_public(path)?,
        None => signing.public().clone(),
    };
    let statement =
        KeyStatement { key, serial: args.serial, change: KeyChange::Revoke { reason: args.reason.clone() } };
    add(&args.out, &statement, statement.sign(&[&signing])?, ui)
}

fn open(path: &Utf8Path, from: &PassphraseFrom, ui: &Ui) -> anyhow::Result<SigningKey> {
    let locked = LockedKey::read(path)?;
    Ok(locked.unlock(&passphrase::of(from, &format!("passphrase of {path}"), ui)?)?)
}

/// Appends a statement to a file, unless receivers would refuse it after those in the file.
fn add(path: &Utf8Path, statement: &KeyStatement, envelope: Envelope, ui: &Ui) -> anyhow::Result<Code> {
    let exists = path.try_exists().unwrap_or(true);
    let (mut bytes, mut envelopes) = if exists { key_statement::read(path)? } else { Default::default() };
    let of_key = |envelope: &Envelope| {
        KeyStatement::of(envelope).ok().filter(|earlier| earlier.fingerprint() == statement.fingerprint())
    };
    let highest = envelopes.iter().filter_map(of_key).map(|earlier| earlier.serial).max();
    if let Some(highest) = highest.filter(|highest| *highest >= statement.serial) {
        return Err(CommandError::usage(format!(
            "{path} has a statement about this key with the serial number {highest}"
        ))
        .remedy(format!("give --serial {} or a larger one", highest.saturating_add(1)))
        .into());
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(envelope.to_json().as_bytes());
    bytes.push(b'\n');
    envelopes.push(envelope);
    if let Err(why) = trust::replay(&envelopes) {
        return Err(CommandError::usage(format!(
            "receivers of {path} would not accept the statement: {why}"
        ))
        .remedy(remedy(&statement.change))
        .into());
    }
    Replace::new(path).write(&bytes)?;
    ui.note(&format!("{path}: a statement about {} was added", statement.fingerprint()));
    Ok(Code::Ok)
}

/// What to do instead of adding such a statement.
fn remedy(change: &KeyChange) -> &'static str {
    match change {
        KeyChange::Rotate { .. } => {
            "a key has one successor, named before the key is revoked; receivers can trust another by `verify --trust`"
        }
        KeyChange::Revoke { .. } => {
            "sign with the key itself, or with a successor that an earlier statement of the file names"
        }
    }
}
