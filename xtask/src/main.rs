//! `cargo xtask`: parse, dispatch, print the error once, end with the right code.

mod bench;
mod cli;
mod cmd;
mod exit;
mod host;
mod request;
mod settings;
mod ui;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use exit::Code;
use rave_process::interrupt;
use settings::Settings;
use ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Code::Usage } else { Code::Ok };
            let _ = error.print(); // a closed stdout or stderr is not worth a second error
            return code.into();
        }
    };
    let ui = Ui::new(&cli.global);
    if let Err(error) = interrupt::install() {
        ui.warn(&format!("Ctrl-C cannot be handled: {error}"));
    }
    match dispatch(&cli, &ui) {
        Ok(code) => code.into(),
        // Whatever failed after a signal failed because of it.
        Err(_) if interrupt::requested().is_some() => {
            ui.error(&["error: interrupted".to_owned()]);
            Code::Interrupted.into()
        }
        Err(error) => {
            ui.error(&exit::lines_of(&error));
            exit::code_of(&error).into()
        }
    }
}

fn dispatch(cli: &Cli, ui: &Ui) -> anyhow::Result<Code> {
    let Some(command) = &cli.command else {
        ui.data(&Cli::command().render_help().ansi().to_string());
        return Ok(Code::Ok);
    };
    if let Command::Completions(args) = command {
        return Ok(cmd::completions::run(args, ui)); // needs no checkout
    }
    let settings = Settings::load(cli)?;
    match command {
        Command::Image(args) => cmd::image::run(args, &settings, ui),
        Command::Run(args) => cmd::run::run(args, &settings, ui),
        Command::Smoke(args) => cmd::smoke::run(args, &settings, ui),
        Command::Convert(args) => cmd::convert::run(args, &settings, ui),
        Command::Inspect(args) => cmd::inspect::run(args, ui),
        Command::Update(args) => cmd::update::run(args, &settings, ui),
        Command::Doctor(args) => cmd::doctor::run(args, &settings, ui),
        Command::Config(args) => cmd::config::run(args, &settings, ui),
        Command::Test(args) => cmd::test::run(args, &settings, ui),
        Command::Bench(args) => cmd::bench::run(args, &settings, ui),
        Command::Ci(args) => cmd::ci::run(args, &settings, ui),
        Command::Completions(_) => unreachable!("handled above"),
    }
}
