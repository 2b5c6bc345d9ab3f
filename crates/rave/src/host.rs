//! Lets the host be made ready, in the words of this program's settings and ui.

use rave_host::{Consent, Context, Dialog, Needs};

use crate::settings::Settings;
use crate::ui::Ui;

/// Makes sure that the host has what a command needs.
pub fn ensure(settings: &Settings, ui: &Ui, needs: Needs) -> anyhow::Result<()> {
    Ok(speak(settings, ui, |dialog| rave_host::ensure(context(settings), dialog, needs))?)
}

/// What the host's requirements depend on.
pub(crate) fn context(settings: &Settings) -> Context<'_> {
    Context {
        base: settings.base,
        state_dir: &settings.state_dir,
        cache_dir: &settings.cache_dir,
        out_dir: &settings.out_dir,
        nix: &settings.nix,
    }
}

/// Lets `work` speak to the user through `ui`.
pub(crate) fn speak<T>(settings: &Settings, ui: &Ui, work: impl FnOnce(&Dialog<'_>) -> T) -> T {
    let sink = ui.sink();
    let ask = |question: &str| ui.ask(question);
    let consent = match (settings.yes, settings.is_terminal) {
        (true, _) => Consent::Given,
        (false, true) => Consent::Ask(&ask),
        (false, false) => Consent::Withheld,
    };
    work(&Dialog { sink: &sink, consent })
}
