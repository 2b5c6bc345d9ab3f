//! `rave-guest`: the program that RAVE's units run inside the virtual machine.
//!
//! Each subcommand is a module with a `run` that returns its exit code or an error; only this file prints errors.
#![expect(clippy::similar_names, reason = "stage and state are the protocol's words")]

mod afterwards;
mod args;
mod barrier;
mod channel;
mod claude;
mod clock;
mod error;
mod files;
mod fork;
mod git_credential;
mod health;
mod host_name;
mod http;
mod install;
mod processor;
mod provide;
mod ready;
mod serve;
mod setup;
mod spawn;
mod ssh_agent;
mod ssh_keys;
mod status_page;
mod system;
mod systemd;
mod template;
mod tools;
mod unlock_router;

use args::Command;
use error::Error;
use rave_guest::config::{self, GuestConfig};
use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(command) => run(&command).unwrap_or_else(|error| {
            eprintln!("rave-guest: {error}");
            ExitCode::FAILURE
        }),
        Err(message) => {
            eprintln!("rave-guest: {message}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Error> {
    match command {
        Command::Help => println!("{}", args::HELP),
        Command::Version => println!("rave-guest {}", env!("CARGO_PKG_VERSION")),
        Command::UnlockRouter => unlock_router::run()?,
        Command::Tools => tools::run(&configuration()?)?,
        Command::Claude => claude::run(&configuration()?),
        Command::Setup => setup::run(&configuration()?)?,
        Command::SshKeys => ssh_keys::run(&configuration()?)?,
        Command::Channel { at_barrier } => channel::run(&configuration()?, *at_barrier)?,
        Command::Provide => provide::run()?,
        Command::GitCredential { is_asked } => {
            if *is_asked {
                git_credential::run()?;
            }
        }
        Command::Barrier => barrier::run()?,
        Command::SshAgent(socket) => ssh_agent::run(&configuration()?, socket)?,
        Command::Session(session) => {
            let failure = session.become_program();
            eprintln!("rave-guest: {}", failure.why);
            return Ok(ExitCode::from(failure.code));
        }
        Command::Tree(task) => {
            task.run(std::io::stdin().lock(), std::io::stdout().lock()).map_err(Error::Tree)?;
        }
        Command::Ready => ready::run(&configuration()?),
        Command::Health => return Ok(health::run(&configuration()?)),
        Command::HealthServe => serve::run(&configuration()?)?,
        Command::Install(answers) => install::run(&configuration()?, answers.as_deref())?,
        Command::CheckMedium => install::check()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn configuration() -> Result<GuestConfig, Error> {
    let text = files::read(config::PATH)?;
    GuestConfig::from_json(&text).map_err(|source| Error::Configuration { path: config::PATH, source })
}
