//! The changes made in a sandbox, as last fetched.

use std::fs::File;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_sandbox::SandboxName;
use rave_sandbox::state::{End, current_state};
use rave_vm::terminal_text::plain;
use rave_workspace::apply;
use rave_workspace::changes::{Change, changes};
use rave_workspace::quarantine::Quarantine;
use rave_workspace::record::{Place, Pull, Record};

use super::guest::SandboxGuest;
use crate::cmd::sandbox::attend::Named;
use crate::cmd::sandbox::list::time;
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
        let lock = limit.map_or_else(|| place.lock(), |limit| place.try_lock(limit))?;
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
                ui.note(&format!(
                    "{} is not running; these are its changes as of {} ago",
                    named.name,
                    time(age)
                ));
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

/// Fetches the changes of a sandbox before it stops, so that they are known while it is stopped. Returns when.
pub(in crate::cmd) fn before_stop(named: &Named, limit: Duration, ui: &Ui) -> Option<u64> {
    let place = Place::new(named.place().folder());
    if !matches!(Record::find(&place), Ok(Some(_))) {
        return None;
    }
    let opened = Workspace::open_within(named, Some(limit), ui);
    opened
        .map(|workspace| workspace.pull.when)
        .inspect_err(|error| ui.warn(&unfetched(&named.name, error)))
        .ok()
}

/// What to tell about changes that could not be fetched. The error may be the guest's own text.
fn unfetched(name: &SandboxName, error: &anyhow::Error) -> String {
    format!("the changes of {name} could not be fetched: {}", plain(&error.to_string()).trim())
}

/// Refuses to remove a sandbox with changes that were never applied.
pub(in crate::cmd) fn refuse_unapplied(named: &Named) -> anyhow::Result<()> {
    let place = Place::new(named.place().folder());
    let Some(record) = Record::find(&place)? else { return Ok(()) };
    // Only `stop` fetches and then ends the machine at once.
    let fetched = End::find(&named.place()).and_then(|end| end.fetched);
    let pull = Pull::find(&place)?.filter(|pull| fetched == Some(pull.when));
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

/// What removing the sandbox would lose, as text.
fn open_changes(pull: &Pull, record: &Record) -> Vec<String> {
    let unapplied = pull.unapplied(record).into_iter().map(|path| path.to_string());
    let unfetched = pull.unfetched().map(|(path, why)| {
        format!("{path}: it could not be fetched: {}", rave_workspace::escape::escaped(why.as_bytes()))
    });
    unapplied.chain(unfetched).collect()
}

fn refuse_open(named: &Named, pull: &Pull, record: &Record) -> anyhow::Result<()> {
    let open = open_changes(pull, record);
    if open.is_empty() {
        return Ok(());
    }
    let refused = refuse(named, format!("{} has changes that were never applied", named.name));
    let refused = open.iter().take(20).fold(refused, |refused, change| refused.detail(change.as_str()));
    let more = open.len().saturating_sub(20);
    Err(if more > 0 { refused.detail(format!("and {more} more")) } else { refused }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_could_not_be_fetched_count_as_unapplied() {
        let record = Record::new("/src".into(), "work/demo");
        let mut pull = Pull::new();
        pull.left.insert("run/socket".into(), "it is a pipe, a socket or a device".to_owned());
        assert!(open_changes(&pull, &record).is_empty());
        pull.left
            .insert("model.bin".into(), "it has 9 bytes, more than the limit for a file\u{7}".to_owned());
        let open = open_changes(&pull, &record);
        assert_eq!(
            open,
            ["model.bin: it could not be fetched: it has 9 bytes, more than the limit for a file\\u{7}"]
        );
    }

    #[test]
    fn a_guests_error_cannot_control_the_terminal() {
        let why = "\u{1b}]0;x\u{7}\u{1b}[2Jno \u{202e}files".to_owned();
        let error = rave_workspace::Error::Guest { why }.into();
        let text = unfetched(&"demo".parse().unwrap(), &error);
        assert_eq!(text, "the changes of demo could not be fetched: the guest: no files");
    }
}
