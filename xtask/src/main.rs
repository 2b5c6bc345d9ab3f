//! `cargo xtask`: the product's commands, and the developers' own.

mod bench;
mod cli;
mod cmd;
mod codegen;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use rave::exit::Code;
use rave::program::Program;
use rave::settings::{self, Settings};
use rave::ui::Ui;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            let product = match &cli.command {
                Some(Command::Product(command)) => Some(command),
                _ => None,
            };
            rave::with_one_thread(Program::Xtask, &cli.global, product)
                .unwrap_or_else(|| rave::run(Program::Xtask, &cli.global, |ui| dispatch(&cli, ui)))
        }
        Err(error) => rave::wrong_usage(&error),
    }
}

fn dispatch(cli: &Cli, ui: &Ui) -> anyhow::Result<Code> {
    let Some(command) = &cli.command else {
        ui.data(&Cli::command().render_help().ansi().to_string());
        return Ok(Code::Ok);
    };
    if let Command::Product(rave::cli::Command::Completions(args)) = command {
        return Ok(rave::cmd::completions::run(args, Cli::command(), ui)); // needs no checkout
    }
    if let Command::Product(command) = command
        && let Some(result) = rave::cmd::without_settings(command, &cli.global, ui)
    {
        return result;
    }
    let settings = Settings::load(settings::checkout()?, &cli.global, command.scope())?;
    match command {
        Command::Product(command) => rave::cmd::run(command, &settings, ui),
        Command::Test(args) => cmd::test::run(args, &settings, ui),
        Command::Bench(args) => cmd::bench::run(args, &settings, ui),
        Command::Ci(args) => cmd::ci::run(args, &settings, ui),
        Command::Codegen(args) => cmd::codegen::run(args, &settings, ui),
        Command::Install(args) => cmd::install::run(args, &settings, ui),
    }
}
