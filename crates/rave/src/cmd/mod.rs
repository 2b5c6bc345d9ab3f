//! One file per command. Each returns the exit code, or a `CommandError`.

pub mod check_reproducible;
pub mod completions;
pub mod config;
pub mod convert;
pub mod disk_image;
pub mod doctor;
pub mod fence;
pub mod image;
pub mod inspect;
pub mod iso_image;
pub mod patch;
pub mod publish;
pub mod release;
pub mod run;
pub mod sandbox;
pub mod sbom;
pub mod smoke;
mod trust;
pub mod update;
pub mod verify;
mod workspace;

use crate::cli::{Command, Global};
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

/// Runs a command that works without a checkout; nothing for the others.
pub fn without_settings(command: &Command, global: &Global, ui: &Ui) -> Option<anyhow::Result<Code>> {
    match command {
        Command::Verify(args) if !args.rebuild => Some(Ok(verify::run(args, ui))),
        Command::Inspect(args) => Some(inspect::run(args, ui)),
        Command::Sbom(args) => Some(sbom::run(args, ui)),
        Command::DiskImage(args) => Some(disk_image::run(args, ui)),
        Command::IsoImage(args) => Some(iso_image::run(args, ui)),
        Command::Publish(args) => Some(publish::run(args, ui)),
        Command::Patch(args) => Some(patch::run(args, ui)),
        Command::Release(args) => args.command.as_ref().map(|command| release::keys::run(command, ui)),
        command => workspace::run(command, ui).or_else(|| sandbox::run(command, global, ui)),
    }
}

/// Runs a command of the product.
pub fn run(command: &Command, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    match command {
        Command::Image(args) => image::run(args, settings, ui),
        Command::Run(args) => run::run(args, settings, ui),
        Command::Smoke(args) => smoke::run(args, settings, ui),
        Command::Convert(args) => convert::run(args, settings, ui),
        Command::Update(args) => update::run(args, settings, ui),
        Command::Doctor(args) => doctor::run(args, settings, ui),
        Command::Config(args) => config::run(args, settings, ui),
        Command::Release(args) => release::run(args, settings, ui),
        Command::Up(args) => sandbox::up::run(args, settings, ui),
        Command::Verify(args) => Ok(verify::rebuild::run(args, settings, ui)),
        Command::Exec(_)
        | Command::Ssh(_)
        | Command::Push(_)
        | Command::Pull(_)
        | Command::Diff(_)
        | Command::Apply(_)
        | Command::Cp(_)
        | Command::Trust(_)
        | Command::Ps(_)
        | Command::Port(_)
        | Command::Net(_)
        | Command::Audit(_)
        | Command::Logs(_)
        | Command::Stop(_)
        | Command::Start(_)
        | Command::Rm(_)
        | Command::Fork(_)
        | Command::Snapshot(_)
        | Command::Restore(_)
        | Command::Supervise(_)
        | Command::ServeNetwork(_)
        | Command::Open(_)
        | Command::Prune(_)
        | Command::SshConfig(_)
        | Command::SshProxy(_)
        | Command::DiskImage(_)
        | Command::IsoImage(_)
        | Command::Fence(_)
        | Command::Completions(_)
        | Command::Inspect(_)
        | Command::Sbom(_)
        | Command::Publish(_)
        | Command::Patch(_) => {
            unreachable!("needs no settings: the programs run it before they load any")
        }
    }
}
