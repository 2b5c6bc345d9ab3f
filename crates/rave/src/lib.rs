//! The product's commands. `rave` and `cargo xtask` are thin programs around this library.

pub mod build;
pub mod cli;
pub mod cmd;
pub mod command_error;
pub mod exit;
pub mod git;
mod guest_proxy;
pub mod host;
pub mod program;
pub mod request;
pub mod settings;
pub mod ui;

use std::process::ExitCode;

use rave_process::interrupt;

use cli::{Command, Global};
use exit::Code;
use program::Program;
use ui::Ui;

/// Runs one command: handles Ctrl-C, prints an error once, and returns the exit code.
pub fn run(program: Program, global: &Global, command: impl FnOnce(&Ui) -> anyhow::Result<Code>) -> ExitCode {
    let ui = Ui::new(global, program);
    if let Err(error) = interrupt::install() {
        ui.warn(&format!("Ctrl-C cannot be handled: {error}"));
    }
    match command(&ui) {
        Ok(code) => code.into(),
        // A failure after a signal is a consequence of it.
        Err(_) if interrupt::requested().is_some() => {
            ui.error(&["error: interrupted".to_owned()]);
            Code::Interrupted.into()
        }
        Err(error) => {
            ui.error(&command_error::lines_of(&error));
            command_error::code_of(&error).into()
        }
    }
}

/// Runs a command that requires a single-threaded process; `None` for the others.
pub fn with_one_thread(program: Program, global: &Global, command: Option<&Command>) -> Option<ExitCode> {
    let Some(Command::Fence(args)) = command else { return None };
    let ui = Ui::new(global, program);
    Some(match cmd::fence::run(args, &ui) {
        Ok(code) => code.into(),
        Err(error) => {
            ui.error(&command_error::lines_of(&error));
            command_error::code_of(&error).into()
        }
    })
}

/// Prints the error of a command line, or the requested help.
pub fn wrong_usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { Code::Usage } else { Code::Ok };
    let _ = error.print(); // a closed stdout or stderr is not worth a second error
    code.into()
}
