//! `cargo xtask doctor`

use crate::cli;
use crate::exit::{Code, Failure};
use crate::settings::Settings;
use crate::ui::Ui;

pub(crate) fn run(_args: &cli::Doctor, _settings: &Settings, _ui: &Ui) -> anyhow::Result<Code> {
    Err(Failure::usage("`doctor` is not there yet").into())
}
