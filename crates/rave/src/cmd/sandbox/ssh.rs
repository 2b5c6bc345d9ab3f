//! `cargo xtask ssh`: logs into a sandbox with OpenSSH, with its host key pinned.

use std::io;
use std::net::{Shutdown, TcpStream};

use rave_sandbox::control::Status;
use rave_sandbox::{SandboxName, Store};
use rave_vm::keys::KeyPair;
use rave_vm::sandbox::SSH;
use rave_vm::ssh::Ssh;

use super::attend::{Named, wait};
use crate::cli;
use crate::cmd::run::{attached, deadline};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;
use crate::ui::attached::Attached;

pub(super) fn run(args: &cli::Ssh, ui: &Ui) -> anyhow::Result<Code> {
    let ssh = wait_for(&Named::new(&args.name)?, ui)?;
    if args.command.is_empty() {
        // A shell exits with its last command's code, which says nothing about the session.
        return attached(&ssh.shell()).map(|_| Code::Ok);
    }
    // As ssh(1) joins them: the guest's shell reads one line.
    attached(&ssh.attached(&args.command.join(" "))).map(Code::Guest)
}

/// `ssh-proxy`: the connection of an ssh(1) whose configuration names this program as its `ProxyCommand`. The guest's
/// keys are pinned before any byte from the guest is forwarded, so ssh, which reads them after the server's first line,
/// finds them.
pub(super) fn proxy(args: &cli::SshProxy, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named { store: Store::new(&args.state), name: args.name.parse()? };
    let ssh = wait_for(&named, ui)?;
    let server = TcpStream::connect((ssh.host, ssh.port))?;
    let to_server = server.try_clone()?;
    // This thread ends with the process: the end of the connection does not interrupt a read of stdin.
    let streams = Attached::new();
    let mut stdin = streams.stdin();
    std::thread::spawn(move || {
        let _ = io::copy(&mut stdin, &mut &to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    match streams.pass_on(&mut &server) {
        // ssh has exited.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Code::Ok),
    }
}

/// The host name of a sandbox for ssh.
pub(super) fn alias(name: &SandboxName) -> String {
    format!("{name}.rave")
}

/// The login, once the guest has announced its keys and its server's port is open.
pub(in crate::cmd) fn wait_for(named: &Named, ui: &Ui) -> anyhow::Result<Ssh> {
    let connection = named.connect(ui)?;
    let limit = deadline(rave_vm::accel::Accelerator::Tcg);
    let status = wait(&named.place(), connection, limit, ui, is_ready_for_ssh)?;
    pinned_login(named, &status)
}

/// A fork knows its keys before its server has reported.
fn is_ready_for_ssh(status: &Status) -> bool {
    !status.host_keys.is_empty() && !status.starting.iter().any(|service| service == SSH)
}

/// Pins the keys that the guest announced.
fn pinned_login(named: &Named, status: &Status) -> anyhow::Result<Ssh> {
    let record = named.store.get(&named.name)?;
    let place = named.place();
    let forward = status.forwards.iter().find(|forward| forward.service == SSH);
    let forward = forward
        .ok_or_else(|| CommandError::usage(format!("{} forwards no port to its SSH server", named.name)))?;
    let key = KeyPair::read(place.folder())?;
    let address = (forward.bind, forward.host);
    Ok(Ssh::pin(place.folder(), &alias(&named.name), &record.user, address, &key, &status.host_keys)?)
}
