//! `cargo xtask config`: the values that count and where each comes from.

use serde::Serialize;

use crate::cli;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    /// As TOML writes it.
    value: &'a str,
    origin: String,
}

/// Runs the command.
pub fn run(args: &cli::Config, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let effective = rave_spec::effective(&settings.spec);
    let values: Vec<Row<'_>> = effective
        .iter()
        .map(|value| Row { key: &value.key, value: &value.value, origin: value.origin.to_string() })
        .collect();
    if args.json {
        ui.data(&serde_json::to_string_pretty(&values)?);
        return Ok(Code::Ok);
    }
    let rows: Vec<Vec<String>> = values
        .into_iter()
        .map(|value| vec![value.key.to_owned(), value.origin, value.value.to_owned()])
        .collect();
    ui.table(&["key", "from", "value"], &rows);
    Ok(Code::Ok)
}
