//! The rows of the matrix to boot.

use rave_smoke::matrix::{self, MatrixRow, ROWS};
use rave_spec::Format;

use crate::build;
use crate::cli::{self, FormatFlag};
use crate::command_error::CommandError;
use crate::settings::Settings;
use crate::ui::Ui;

/// Values of `--rows` besides names.
const FIRST: &str = "first";
const ALL: &str = "all";

/// The rows of one run: the first of each format, or all of them with `--format all`, unless `--rows` says otherwise.
pub(super) fn chosen(args: &cli::Smoke, settings: &Settings) -> anyhow::Result<Vec<MatrixRow>> {
    let formats = build::formats(settings, &args.formats)?;
    let arguments: Vec<&str> = args.rows.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] if args.formats.contains(&FormatFlag::All) => Ok(all_of(&formats)),
        [ALL] => Ok(all_of(&formats)),
        [] | [FIRST] => Ok(formats.iter().filter_map(|format| matrix::of(*format).next()).collect()),
        _ => by_name(args, &formats),
    }
}

fn all_of(formats: &[Format]) -> Vec<MatrixRow> {
    formats.iter().flat_map(|format| matrix::of(*format)).collect()
}

/// Rows by name need no `--format`; if it is given, it must match them.
fn by_name(args: &cli::Smoke, formats: &[Format]) -> anyhow::Result<Vec<MatrixRow>> {
    let list = "`cargo xtask smoke --list-rows` shows them all";
    let rows = matrix::named(&args.rows).map_err(|error| {
        let remedy = match error.nearest {
            Some(nearest) => format!("did you mean {nearest}? {list}"),
            None => format!("{list}; `first` and `all` stand alone"),
        };
        CommandError::usage(error.to_string()).remedy(remedy)
    })?;
    match rows.iter().find(|row| !args.formats.is_empty() && !formats.contains(&row.format)) {
        Some(row) => {
            Err(CommandError::usage(format!("row {} does not belong to the chosen formats", row.name))
                .remedy(format!("add {} to --format, or leave --format out", row.format))
                .into())
        }
        None => Ok(rows),
    }
}

/// The formats of these rows, each once.
pub(super) fn formats(rows: &[MatrixRow]) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    for row in rows {
        if !formats.contains(&row.format) {
            formats.push(row.format);
        }
    }
    formats
}

pub(super) fn list(ui: &Ui) {
    let row = |row: &MatrixRow| {
        let hardware = [row.medium.as_str(), row.firmware.as_str(), row.interface.as_str(), row.nic.as_str()];
        [row.name, row.format.as_str()].into_iter().chain(hardware).map(str::to_owned).collect()
    };
    let rows: Vec<Vec<String>> = ROWS.iter().map(row).collect();
    ui.table(&["row", "format", "medium", "firmware", "bus", "nic"], &rows);
}
