//! `cargo xtask release keygen`, `rotate` and `revoke`.

use std::fs;

use camino::Utf8Path;
use rave_fs::Replace;
use rave_release::dsse::Envelope;
use rave_release::key::{self, LockedKey, SigningKey};
use rave_release::key_statement::{self, KeyChange, KeyStatement};

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
    add(&args.out, &statement, &statement.sign(&[&old, &new])?, ui)
}

fn revoke(args: &Revoke, ui: &Ui) -> anyhow::Result<Code> {
    let signing = open(&args.key, &args.passphrase, ui)?;
    let key = match &args.revoked {
        Some(path) => key::read_public(path)?,
        None => signing.public().clone(),
    };
    let statement =
        KeyStatement { key, serial: args.serial, change: KeyChange::Revoke { reason: args.reason.clone() } };
    add(&args.out, &statement, &statement.sign(&[&signing])?, ui)
}

fn open(path: &Utf8Path, from: &PassphraseFrom, ui: &Ui) -> anyhow::Result<SigningKey> {
    let locked = LockedKey::read(path)?;
    Ok(locked.unlock(&passphrase::of(from, &format!("passphrase of {path}"), ui)?)?)
}

/// Appends a statement to a file. A serial number that is not larger than the earlier ones is refused.
fn add(path: &Utf8Path, statement: &KeyStatement, envelope: &Envelope, ui: &Ui) -> anyhow::Result<Code> {
    let mut bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(|error| CommandError::usage(format!("cannot read {path}: {error}")))?,
    };
    let damaged = |why: String| CommandError::usage(format!("{path}: {why}"));
    for earlier in key_statement::parse_file(&bytes).map_err(damaged)? {
        let earlier = KeyStatement::of(&earlier).map_err(damaged)?;
        if earlier.fingerprint() == statement.fingerprint() && earlier.serial >= statement.serial {
            return Err(CommandError::usage(format!(
                "{path} has a statement about this key with the serial number {}",
                earlier.serial
            ))
            .remedy(format!("give --serial {} or a larger one", earlier.serial.saturating_add(1)))
            .into());
        }
        if let (KeyChange::Rotate { successor: first, .. }, KeyChange::Rotate { successor: second, .. }) =
            (&earlier.change, &statement.change)
            && earlier.fingerprint() == statement.fingerprint()
            && first.key_data() != second.key_data()
        {
            return Err(CommandError::usage(format!("{path} names another successor of this key"))
                .remedy("rotate that successor, or let receivers trust the new key with `verify --trust`")
                .into());
        }
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(envelope.to_json().as_bytes());
    bytes.push(b'\n');
    Replace::new(path).write(&bytes)?;
    ui.note(&format!("{path}: a statement about {} was added", statement.fingerprint()));
    Ok(Code::Ok)
}
