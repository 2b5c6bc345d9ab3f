//! What the host needs, whether it is there, and how to get it.
//!
//! [`requirement`], [`requirements`] and [`repos`] are data and pure functions; [`examine`] looks at the host;
//! [`install_plan`] turns what is missing into commands; [`install`] runs them.

mod context;
mod disk_space;
mod ensure;
mod error;
mod examine;
mod for_tests;
mod install;
mod install_plan;
mod needs;
mod nix;
mod package_manager;
mod privileges;
mod probe;
mod report;
mod repos;
mod requirement;
mod requirements;
mod suppress_services;
mod system;
mod tar_support;
mod version;
mod version_cache;

pub use context::{Consent, Context, Dialog};
pub use ensure::resolve;
pub use error::Error;
pub use examine::examine;
pub use needs::Needs;
pub use nix::nix;
pub use report::{Finding, Fix, State};
pub use requirement::Part;
pub use requirements::BOOT;

use crate::settings::Settings;
use crate::ui::Ui;

/// Makes sure that the host has what a command needs.
pub fn ensure(settings: &Settings, ui: &Ui, needs: Needs) -> anyhow::Result<()> {
    Ok(speak(settings, ui, |dialog| ensure::ensure(context(settings), dialog, needs))?)
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
