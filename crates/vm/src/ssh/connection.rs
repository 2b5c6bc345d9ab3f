//! One connection to a guest that carries many commands, several at once (`ControlMaster` of `ssh_config(5)`).
//!
//! A login takes seconds under software emulation; a command on an existing connection only takes a process in the
//! guest. Each command has its own ssh(1), so its output, status and timeout are the same as with [`Ssh::exec`].

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Child, Cmd, STOP_GRACE, interrupt};
use tempfile::TempDir;

use super::{RemoteOutput, Ssh};
use crate::Error;

/// The control socket, in a folder of its own. As a relative path it never exceeds the limit of unix(7).
const SOCKET: &str = "control";

/// How often to check during a login whether the control socket exists.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a login may take. It has its own limit, so that the command that triggers it keeps its full time.
const LOGIN: Duration = Duration::from_secs(60);

/// A connection that is opened by the first command, and reopened by the next command after it was lost or closed. If a
/// connection is lost during a command, that is an error, and the command is not repeated.
#[derive(Debug)]
pub struct Connection {
    ssh: Ssh,
    folder: Utf8PathBuf,
    open: Mutex<Option<Master>>,
    logins: AtomicU64,
}

/// The ssh(1) that keeps the connection open, and the folder of its control socket (mode 0700).
#[derive(Debug)]
struct Master {
    child: Child,
    folder: TempDir,
    /// The number of this login on its [`Connection`].
    number: u64,
}

impl Connection {
    /// A connection by way of `ssh`. Control sockets are created in subfolders of `folder`.
    pub fn new(ssh: Ssh, folder: &Utf8Path) -> Self {
        Self { ssh, folder: folder.to_owned(), open: Mutex::default(), logins: AtomicU64::new(0) }
    }

    /// Like [`Ssh::exec`], without a login of its own. Up to ten commands run at once (`MaxSessions` of `sshd_config(5)`).
    pub fn exec(&self, command: &str, limit: Duration) -> Result<RemoteOutput, Error> {
        let (client, login) = self.client()?;
        match self.ssh.exec_by(client, command, limit) {
            // The connection was already lost, but its ssh had not ended yet when that was checked.
            Err(Error::Ssh { tail, .. }) if has_not_started(&tail) => {
                let mut open = self.lock();
                if open.as_ref().is_some_and(|master| master.number == login) {
                    *open = None;
                }
                drop(open);
                self.ssh.exec_by(self.client()?.0, command, limit)
            }
            result => result,
        }
    }

    /// Ends the connection, and the commands that it carries.
    pub fn close(&self) {
        self.lock().take();
    }

    /// An ssh that uses the connection and never opens its own, and the number of the login: a lost connection must not
    /// look like a slow command.
    fn client(&self) -> Result<(Cmd, u64), Error> {
        let mut open = self.lock();
        if let Some(master) = open.as_mut()
            && !(master.is_alive()? && master.listens())
        {
            *open = None;
        }
        let master = match &mut *open {
            Some(master) => master,
            none => {
                let number = self.logins.fetch_add(1, Ordering::Relaxed);
                none.insert(Master::login(&self.ssh, &self.folder, number)?)
            }
        };
        let client =
            self.ssh.command().args(["-S", SOCKET, "-o", "ControlMaster=no", "-o", "ProxyCommand=false"]);
        Ok((client.current_dir(master.folder.path()), master.number))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Master>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Master {
    fn login(ssh: &Ssh, folder: &Utf8Path, number: u64) -> Result<Self, Error> {
        let private = Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix("ssh-").permissions(private).tempdir_in(folder);
        let folder = made.map_err(|e| Error::io("create a folder in", folder, e))?;
        let command = ssh.command().args(["-M", "-N", "-S", SOCKET]).arg(ssh.host.to_string());
        let child = command.current_dir(folder.path()).spawn();
        let child = child.map_err(Error::process("a connection to the guest"))?;
        let mut master = Self { child, folder, number };
        let started = Instant::now();
        // It listens once it has logged in.
        while !master.listens() {
            if !master.is_alive()? {
                return Err(ssh.failed(master.child.command(), master.child.tail()));
            }
            if started.elapsed() > LOGIN {
                let (doing, command) = ("a login by SSH".to_owned(), master.child.command());
                return Err(Error::TooSlow { doing, after: LOGIN, command });
            }
            interrupt::pause(POLL_INTERVAL)?;
        }
        Ok(master)
    }

    /// Whether clients can find it: ssh(1) removes its socket before it ends.
    fn listens(&self) -> bool {
        self.folder.path().join(SOCKET).exists()
    }

    fn is_alive(&mut self) -> Result<bool, Error> {
        let ended = self.child.try_wait().map_err(Error::process("a connection to the guest"))?;
        Ok(ended.is_none())
    }
}

/// Whether a client found no connection, so that its command was not started: it then asks `ProxyCommand`, which ends
/// at once, for a new one (`kex_exchange_identification` of ssh(1), `ssh_exchange_identification` of older versions).
fn has_not_started(tail: &[String]) -> bool {
    tail.iter().any(|line| line.contains("_exchange_identification: "))
}

impl Drop for Master {
    /// Disconnects from the server, then removes the folder.
    fn drop(&mut self) {
        // A process that has already ended or cannot be waited for is gone anyway.
        let _ = self.child.terminate(STOP_GRACE);
    }
}
