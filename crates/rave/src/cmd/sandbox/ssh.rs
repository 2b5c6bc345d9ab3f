//! `cargo xtask ssh`: into a sandbox by OpenSSH, with its host key pinned.

use rave_sandbox::control::Status;
use rave_vm::keys::KeyPair;
use rave_vm::machine::Files;
use rave_vm::sandbox::SSH;
use rave_vm::ssh::Ssh;

use super::attend::{Named, wait};
use crate::cli;
use crate::cmd::run::{attached, deadline};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Ssh, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let connection = named.connect(ui)?;
    let limit = deadline(rave_vm::accel::Accelerator::Tcg);
    let status = wait(&named.place(), connection, limit, ui, |status| !status.host_keys.is_empty())?;
    let ssh = way_in(&named, &status)?;
    if args.command.is_empty() {
        // A shell ends with its last command's code, which says nothing about the session.
        return attached(&ssh.shell()).map(|_| Code::Ok);
    }
    // As ssh(1) joins them: the guest's shell reads one line.
    attached(&ssh.attached(&args.command.join(" "))).map(Code::Guest)
}

/// Pins the keys that the guest announced.
fn way_in(named: &Named, status: &Status) -> anyhow::Result<Ssh> {
    let record = named.store.get(&named.name)?;
    let place = named.place();
    let forward = status.forwards.iter().find(|forward| forward.service == SSH);
    let forward = forward
        .ok_or_else(|| CommandError::usage(format!("{} forwards no port to its SSH server", named.name)))?;
    let key = KeyPair::read(place.folder())?;
    let Files { run_dir, .. } = place.machine();
    let alias = format!("{}.rave", named.name);
    let address = (forward.bind, forward.host);
    Ok(Ssh::pin(&run_dir, &alias, &record.user, address, &key, &status.host_keys)?)
}
