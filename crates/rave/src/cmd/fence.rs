//! `rave fence`: this process drops its rights and executes QEMU. It runs before a second thread is started: a new user
//! namespace requires a single-threaded process (unshare(2)).

mod offer;

use std::fs;

use camino::Utf8Path;
use rave_fence::{Offer, Rules, enter};
use rave_process::Cmd;

use crate::cli::FenceProgram;
use crate::command_error::CommandError;
use crate::ui::Ui;

pub use offer::{here, report_missing, require, rows};

/// Variables that a fenced program keeps: where programs and libraries are, and how times and texts are written. A
/// user's own variables, such as a provider's key, are dropped.
const KEPT: [&str; 6] = ["PATH", "LD_LIBRARY_PATH", "TZ", "LANG", "LC_ALL", "TMPDIR"];

/// Runs the command; it returns only if it fails or if only a probe was requested.
pub fn run(args: &FenceProgram, ui: &Ui) -> anyhow::Result<crate::exit::Code> {
    let (Some(file), Some((program, arguments))) = (&args.rules, args.command.split_first()) else {
        ui.data(&serde_json::to_string(&Offer::probe())?);
        return Ok(crate::exit::Code::Ok);
    };
    let rules = read(file)?;
    enter(&rules)?;
    Err(Cmd::new(program).args(arguments).replace_this_process(&KEPT).into())
}

fn read(file: &Utf8Path) -> anyhow::Result<Rules> {
    let bad = |error: String| CommandError::usage(format!("{file}: {error}"));
    let text = fs::read(file).map_err(|error| bad(error.to_string()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?)
}
