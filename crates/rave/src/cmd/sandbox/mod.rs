//! Sandboxes by name: `up`, `exec`, `ssh`, `ps`, `port`, `net`, `logs`, `stop`, `start`, `rm`, and the supervisor that `up` starts. All but
//! `up`, which may build an image, work without a checkout.

mod attend;
mod describe;
mod exec;
mod life;
mod list;
mod logs;
mod net;
mod ssh;
mod supervise;
pub mod up;

pub use describe::describe;

use crate::cli::Command;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs a command about sandboxes that needs no settings; nothing for the others.
pub fn run(command: &Command, ui: &Ui) -> Option<anyhow::Result<Code>> {
    Some(match command {
        Command::Exec(args) => exec::run(args, ui),
        Command::Ssh(args) => ssh::run(args, ui),
        Command::Ps(args) => list::run(args, ui),
        Command::Port(args) => describe::ports(args, ui),
        Command::Net(args) => net::run(args, ui),
        Command::Logs(args) => logs::run(args, ui),
        Command::Stop(args) => life::stop(args, ui),
        Command::Start(args) => life::start(args, ui),
        Command::Rm(args) => life::remove(args, ui),
        Command::Supervise(args) => supervise::run(args),
        _ => return None,
    })
}
