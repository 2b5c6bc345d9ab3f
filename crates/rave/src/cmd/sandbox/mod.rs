//! Sandboxes by name: `up`, `exec`, `ssh`, `ssh-config`, `ps`, `port`, `open`, `net`, `logs`, `stop`, `start`, `rm`, `prune`, and the supervisor that `up` starts. All but
//! `up`, which may build an image, work without a checkout.

pub(super) mod attend;
mod describe;
mod exec;
mod life;
mod limits;
mod list;
mod logs;
mod net;
mod open;
mod prune;
mod ssh;
mod ssh_config;
mod supervise;
pub(crate) mod templates;
pub mod up;

pub(super) use attend::{Named, this_program};
pub use describe::describe;
pub(super) use life::remove;
pub(super) use ssh::wait_for as wait_for_ssh;

use crate::cli::{Command, Global};
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// Runs a command about sandboxes that needs no settings; nothing for the others.
pub fn run(command: &Command, global: &Global, ui: &Ui) -> Option<anyhow::Result<Code>> {
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
        Command::Prune(args) => prune::run(args, settings::yes(global), ui),
        Command::Open(args) => open::run(args, ui),
        Command::SshConfig(args) => ssh_config::run(args, ui),
        Command::SshProxy(args) => ssh::proxy(args, ui),
        Command::Supervise(args) => supervise::run(args),
        Command::ServeNetwork(args) => crate::cmd::run::background::serve(args),
        _ => return None,
    })
}
