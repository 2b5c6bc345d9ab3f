//! Prepares the host, with this program's settings and UI.

use rave_host::{Consent, Context, Dialog, Needs};
use rave_spec::{Base, Feature};
use rave_vm::accel::Accelerator;

use crate::settings::Settings;
use crate::ui::Ui;

/// Makes sure that the host has what a command needs.
pub fn ensure(settings: &Settings, ui: &Ui, needs: Needs) -> anyhow::Result<()> {
    ensure_all(settings, ui, &[needs])
}

/// The same for a command that needs several things.
pub fn ensure_all(settings: &Settings, ui: &Ui, needs: &[Needs]) -> anyhow::Result<()> {
    Ok(with_dialog(settings, ui, |dialog| rave_host::ensure(context(settings), dialog, needs))?)
}

/// The same for tests, which build images of the debian base regardless of the settings.
pub fn ensure_for_tests(settings: &Settings, ui: &Ui, needs: &[Needs]) -> anyhow::Result<()> {
    let context = Context { base: Base::Debian, ..context(settings) };
    Ok(with_dialog(settings, ui, |dialog| rave_host::ensure(context, dialog, needs))?)
}

/// The requirements of booting and checking an image of the chosen profile.
pub fn needs_of_smoke(settings: &Settings) -> anyhow::Result<Vec<Needs>> {
    let has_desktop = settings.profile()?.features.contains(&Feature::Desktop);
    Ok(if has_desktop { vec![Needs::Smoke, Needs::Desktop] } else { vec![Needs::Smoke] })
}

/// What the host's requirements depend on.
pub(crate) fn context(settings: &Settings) -> Context<'_> {
    Context {
        base: settings.base,
        state_dir: &settings.state_dir,
        cache_dir: &settings.cache_dir,
        out_dir: &settings.out_dir,
        accelerator: settings.accel.map(Accelerator::from),
        nix: &settings.nix,
    }
}

/// Lets `work` speak to the user through `ui`.
pub(crate) fn with_dialog<T>(settings: &Settings, ui: &Ui, work: impl FnOnce(&Dialog<'_>) -> T) -> T {
    let sink = ui.sink();
    let ask = |question: &str| ui.ask(question);
    let consent = match (settings.yes, settings.is_terminal) {
        (true, _) => Consent::Given,
        (false, true) => Consent::Ask(&ask),
        (false, false) => Consent::Withheld,
    };
    work(&Dialog { sink: &sink, consent })
}
