//! The changes made in a sandbox, as last fetched.

use std::fs::File;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_sandbox::state::current_state;
use rave_workspace::changes::{Change, changes};
use rave_workspace::quarantine::Quarantine;
use rave_workspace::record::{Place, Pull, Record};
use rave_workspace::{BytePath, apply};

use super::guest::SandboxGuest;
use crate::cmd::sandbox::attend::Named;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// The workspace of a sandbox, locked.
pub(in crate::cmd) struct Workspace {
    pub(super) place: Place,
    pub(super) record: Record,
    pub(super) pull: Pull,
    pub(super) quarantine: Quarantine,
    _lock: File,
}

impl Workspace {
    /// Fetches the changes from the guest, or uses the last fetched ones if it is not running.
    pub(in crate::cmd) fn open(named: &Named, ui: &Ui) -> anyhow::Result<Self> {
        Self::open_within(named, None, ui)
    }

    fn open_within(named: &Named, limit: Option<Duration>, ui: &Ui) -> anyhow::Result<Self> {
        named.store.get(&named.name)?;
        let place = Place::new(named.place().folder());
        let own = user_list("quarantine.txt")?;
        let quarantine = Quarantine::new(own.as_ref().map(|(path, text)| (path.as_str(), text.as_str())))?;
        // Before the lock, which creates a folder.
        Record::get(&place)?;
        // Also before the lock: it may wait for a command that starts or restores the sandbox, which may wait for this
        // lock.
        let guest = SandboxGuest::new(named, limit, ui);
        let lock = place.lock()?;
        let mut record = Record::get(&place)?;
        if apply::recover(&place, &mut record)? {
            ui.note("resuming an interrupted apply: what it had written counts as applied");
        }
        let pull = match guest {
            Ok(guest) => rave_workspace::pull::pull(&place, &mut record, &guest)?,
            Err(error) => {
                let is_stopped = matches!(error.downcast_ref(), Some(rave_sandbox::Error::NotRunning { .. }));
                let last = if is_stopped { Pull::find(&place)? } else { None };
                let Some(last) = last else { return Err(error) };
                let age = rave_sandbox::now().saturating_sub(last.when);
                ui.note(&format!("{} is not running; these are its changes as of {age} s ago", named.name));
                last
            }
        };
        Ok(Self { place, record, pull, quarantine, _lock: lock })
    }

    /// The changes.
    pub(super) fn changes(&self, folds_case: bool) -> anyhow::Result<Vec<Change>> {
        Ok(changes(&self.record, &self.pull, &self.quarantine, &self.place.blobs(), folds_case)?)
    }

    /// Warns about files that could not be fetched.
    pub(super) fn report_left_out(&self, ui: &Ui) {
        for (path, why) in self.pull.left.iter().take(20) {
            ui.warn(&format!("{path} is left out: {}", rave_workspace::escape::escaped(why.as_bytes())));
        }
        if self.pull.left.len() > 20 {
            ui.warn(&format!("and {} more", self.pull.left.len() - 20));
        }
    }
}

/// A user's own list in the configuration folder.
pub(super) fn user_list(name: &str) -> anyhow::Result<Option<(Utf8PathBuf, String)>> {
    let path = settings::config_dir()?.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::host_not_ready(format!("could not read {path}: {error}")).into()),
    }
}

/// Fetches the changes of a sandbox before it stops, so that they are known while it is stopped.
pub(in crate::cmd) fn before_stop(named: &Named, limit: Duration, ui: &Ui) {
    let place = Place::new(named.place().folder());
    if !matches!(Record::find(&place), Ok(Some(_))) {
        return;
    }
    if let Err(error) = Workspace::open_within(named, Some(limit), ui) {
        ui.warn(&format!("the changes of {} could not be fetched: {error}", named.name));
    }
}

/// How long a machine may take to power off after its changes were last fetched, seconds.
const POWER_OFF: u64 = 300;

/// Refuses to remove a sandbox with changes that were never applied.
pub(in crate::cmd) fn refuse_unapplied(named: &Named) -> anyhow::Result<()> {
    let place = Place::new(named.place().folder());
    let Some(record) = Record::find(&place)? else { return Ok(()) };
    let ended = std::fs::metadata(named.place().end()).and_then(|about| about.modified());
    let ended = ended.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let is_last = |pull: &Pull| ended.is_some_and(|ended| ended.as_secs() <= pull.when + POWER_OFF);
    let pull = Pull::find(&place)?.filter(is_last);
    let Some(pull) = pull else {
        return Err(refuse(named, format!("{} ran after its changes were last fetched", named.name)).into());
    };
    refuse_open(named, &pull, &record)
}

/// The same for a running sandbox.
pub(in crate::cmd) fn refuse_unapplied_now(named: &Named, ui: &Ui) -> anyhow::Result<()> {
    if Record::find(&Place::new(named.place().folder()))?.is_none() {
        return Ok(());
    }
    let workspace = Workspace::open(named, ui)?;
    refuse_open(named, &workspace.pull, &workspace.record)
}

fn refuse(named: &Named, what: String) -> CommandError {
    let name = &named.name;
    let diff = format!("cargo xtask diff {name}");
    let hint = if current_state(&named.place()).state.runs() {
        format!("look: {diff}")
    } else {
        format!("start it and look: cargo xtask start {name}, {diff}")
    };
    CommandError::new(Code::Usage, what).remedy(format!("{hint}; or give --force, which drops it"))
}

fn refuse_open(named: &Named, pull: &Pull, record: &Record) -> anyhow::Result<()> {
    let open: Vec<BytePath> = pull.unapplied(record).into_iter().collect();
    if open.is_empty() {
        return Ok(());
    }
    let refused = refuse(named, format!("{} has changes that were never applied", named.name));
    let refused = open.iter().take(20).fold(refused, |refused, path| refused.detail(path.to_string()));
    let more = open.len().saturating_sub(20);
    Err(if more > 0 { refused.detail(format!("and {more} more")) } else { refused }.into())
}
