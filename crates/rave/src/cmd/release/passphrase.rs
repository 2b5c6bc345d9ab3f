//! Where a passphrase comes from: the terminal, a file, or a descriptor.

use camino::Utf8Path;
use rave_release::key::{self, LockedKey, Passphrase, SigningKey};

use super::order::Order;
use crate::cli::PassphraseFrom;
use crate::command_error::CommandError;
use crate::ui::Ui;

/// The key that a release is signed with.
pub(super) fn open(args: &Order<'_>, ui: &Ui) -> anyhow::Result<SigningKey> {
    let path = args.key.ok_or_else(|| CommandError::usage("a release needs --key"))?;
    let locked = LockedKey::read(path)?;
    Ok(locked.unlock(&of(&args.passphrase, &format!("passphrase of {path}"), ui)?)?)
}

/// The passphrase of an existing key.
pub(super) fn of(from: &PassphraseFrom, question: &str, ui: &Ui) -> anyhow::Result<Passphrase> {
    match given(from)? {
        Some(passphrase) => Ok(passphrase),
        None => ask(question, ui),
    }
}

/// The passphrase of a new key, asked for twice.
pub(super) fn new(from: &PassphraseFrom, ui: &Ui) -> anyhow::Result<Passphrase> {
    if let Some(passphrase) = given(from)? {
        return Ok(passphrase);
    }
    let first = ask("passphrase of the new key", ui)?;
    if *first != *ask("repeat the passphrase", ui)? {
        return Err(CommandError::usage("the two passphrases differ").into());
    }
    Ok(first)
}

fn given(from: &PassphraseFrom) -> anyhow::Result<Option<Passphrase>> {
    if let Some(file) = &from.passphrase_file {
        return Ok(Some(key::passphrase_of(file)?));
    }
    match from.passphrase_fd {
        // proc_pid_fd(5): opens what the descriptor is, pipes included.
        Some(number) => Ok(Some(key::passphrase_of(Utf8Path::new(&format!("/proc/self/fd/{number}")))?)),
        None => Ok(None),
    }
}

fn ask(question: &str, ui: &Ui) -> anyhow::Result<Passphrase> {
    ui.ask_secret(question).map_err(|error| {
        CommandError::usage(format!("no passphrase: {error}"))
            .remedy("run this on a terminal, or give --passphrase-file or --passphrase-fd")
            .into()
    })
}
