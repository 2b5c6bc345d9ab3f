//! `cargo xtask smoke`

use crate::cli;
use crate::exit::{Code, Failure};
use crate::settings::Settings;
use crate::ui::Ui;

pub(crate) fn run(_args: &cli::Smoke, _settings: &Settings, _ui: &Ui) -> anyhow::Result<Code> {
    Err(Failure::usage("`smoke` is not there yet").into())
}
