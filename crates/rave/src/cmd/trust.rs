//! The trusted keys, for the commands that verify releases.

use rave_release::dsse::Envelope;
use rave_release::trust::{TrustStore, Trusted};
use rave_release::{key_statement, signers};

use crate::cli::KnownKeys;
use crate::settings;
use crate::ui::Ui;

/// Keys that were given or pinned, and what is known about them.
pub(super) struct Trust {
    pub(super) store: TrustStore,
    pub(super) trusted: Trusted,
    pub(super) statements: Vec<Envelope>,
}

impl Trust {
    /// From the flags and the state folder.
    pub(super) fn of(flags: &KnownKeys, store: TrustStore) -> anyhow::Result<Self> {
        let keys = match &flags.key {
            Some(file) => signers::read(file)?,
            None => store.pinned()?,
        };
        let statements = statements(flags)?;
        Ok(Self { trusted: Trusted::new(keys, &store), store, statements })
    }

    /// Saves what was learned. A read-only state folder is only a warning: it does not make a valid release invalid.
    pub(super) fn keep(&mut self, ui: &Ui) {
        if let Err(error) = self.store.save() {
            ui.warn(&format!("what was learned of keys and dates could not be saved: {error}"));
        }
    }
}

/// The store in the state folder.
pub(super) fn store() -> anyhow::Result<TrustStore> {
    Ok(TrustStore::open(&settings::state_dir()?)?)
}

fn statements(flags: &KnownKeys) -> anyhow::Result<Vec<Envelope>> {
    let Some(file) = &flags.statements else { return Ok(Vec::new()) };
    Ok(key_statement::read(file)?.1)
}
