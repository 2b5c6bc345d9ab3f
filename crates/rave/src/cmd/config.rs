//! `config`: the effective values with their origins.

use anyhow::Context as _;
use rave_spec::Effective;
use serde::Serialize;
use serde_json::Value;

use crate::cli;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    /// Changes whenever the meaning of a field changes.
    schema: u32,
    values: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    value: Value,
    origin: String,
}

/// 1 was a bare list with each value as TOML text.
const SCHEMA: u32 = 2;

/// Runs the command.
pub fn run(args: &cli::Config, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let effective = rave_spec::effective(&settings.spec);
    if args.json {
        let values = effective.iter().map(row).collect::<anyhow::Result<_>>()?;
        ui.data(&serde_json::to_string_pretty(&Document { schema: SCHEMA, values })?);
        return Ok(Code::Ok);
    }
    let rows: Vec<Vec<String>> =
        effective.into_iter().map(|value| vec![value.key, value.origin.to_string(), value.value]).collect();
    ui.table(&["key", "from", "value"], &rows);
    Ok(Code::Ok)
}

/// Strings, integers, booleans and lists of strings: TOML writes all of them as JSON does.
fn row(value: &Effective) -> anyhow::Result<Row<'_>> {
    let typed = serde_json::from_str(&value.value)
        .with_context(|| format!("{} is not a JSON value: {}", value.key, value.value))?;
    Ok(Row { key: &value.key, value: typed, origin: value.origin.to_string() })
}
