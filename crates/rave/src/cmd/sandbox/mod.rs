//! Sandboxes by name: `up`, `exec`, `ssh`, `ssh-config`, `ps`, `port`, `open`, `net`, `audit`, `logs`, `stop`, `start`, `fork`,
//! `snapshot`, `restore`, `rm`, `prune`, and the supervisor that `up` starts. All but `up`, which may build an image, work without a
//! checkout.

mod agent_key;
pub(super) mod attend;
pub(super) mod audit;
mod changes;
mod defaults;
mod describe;
mod exec;
mod fork;
mod groups;
mod key_source;
mod life;
mod limits;
pub(super) mod list;
mod logs;
mod model;
mod net;
mod open;
mod ports;
mod prune;
mod secrets;
mod snapshot;
mod ssh;
mod ssh_config;
mod supervise;
pub(crate) mod templates;
pub mod up;
mod utc;

pub(super) use attend::Named;
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
        Command::Audit(args) => audit::run(args, ui),
        Command::Logs(args) => logs::run(args, ui),
        Command::Stop(args) => life::stop(args, ui),
        Command::Start(args) => life::start(args, ui),
        Command::Fork(args) => fork::run(args, ui),
        Command::Snapshot(args) => snapshot::run(args, ui),
        Command::Restore(args) => snapshot::restore(args, ui),
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
