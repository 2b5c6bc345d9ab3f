//! `rave`: the product's commands from any folder.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use rave::cli::{Cli, Command};
use rave::exit::Code;
use rave::program::{INSTALLED_FROM, Program};
use rave::settings::{self, Settings};
use rave::ui::Ui;

/// The checkout and the commit that `cargo xtask install` was run in; nothing else sets them.
const HOME: Option<&str> = option_env!("RAVE_INSTALL_HOME");
const COMMIT: Option<&str> = option_env!("RAVE_INSTALL_COMMIT");

fn main() -> ExitCode {
    let parsed = command_line().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => rave::with_one_thread(Program::Rave, &cli.global, cli.command.as_ref())
            .unwrap_or_else(|| rave::run(Program::Rave, &cli.global, |ui| dispatch(&cli, ui))),
        Err(error) => rave::wrong_usage(&error),
    }
}

/// The command line with the program's own name in its help texts.
fn command_line() -> clap::Command {
    let command = rave::cli::named(Program::Rave, Cli::command());
    match HOME {
        None => command,
        Some(home) => {
            let commit = COMMIT.filter(|commit| !commit.is_empty()).unwrap_or("unknown");
            let version = env!("CARGO_PKG_VERSION");
            command.long_version(format!("{version}\ncommit: {commit}\n{INSTALLED_FROM}{home}"))
        }
    }
}

fn dispatch(cli: &Cli, ui: &Ui) -> anyhow::Result<Code> {
    let Some(command) = &cli.command else {
        ui.data(&command_line().render_help().ansi().to_string());
        return Ok(Code::Ok);
    };
    if let Command::Completions(args) = command {
        return Ok(rave::cmd::completions::run(args, command_line(), ui)); // needs no home
    }
    if let Some(result) = rave::cmd::without_settings(command, &cli.global, ui) {
        return result;
    }
    let settings = Settings::load(settings::home(HOME)?, &cli.global, command.scope())?;
    rave::cmd::run(command, &settings, ui)
}
