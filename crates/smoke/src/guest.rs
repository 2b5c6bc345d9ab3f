//! The guest under test, and what is expected of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_guest::assets::claude;
use rave_guest::config::GuestConfig;
use rave_vm::ports::PortForward;
use rave_vm::ssh::{Connection, RemoteOutput, Ssh};
use rave_vm::{Instance, Ready};

use crate::http;
use crate::poll::{self, CheckError, Observation};

/// The expected state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The user that agents run as.
    pub user: String,
    /// Its password, which is accepted unless the guest is hardened.
    pub password: String,
    /// Passwords are not accepted.
    pub hardened: bool,
    /// The disk that the root file system grows to, in MiB.
    pub disk_mib: u64,
    /// Versions of the npm lock, by package.
    pub npm_versions: BTreeMap<String, String>,
    /// Claude Code is installed in the guest over the network.
    pub claude_at_first_boot: bool,
    /// The server's keys, as the guest reported them.
    pub host_keys: Vec<String>,
    /// The id of the current boot.
    pub boot_id: String,
}

impl Expected {
    /// The expected state of an image's guest on a disk of `disk_mib` MiB, in the boot that became ready. `login` is
    /// the user's name and password: an image only contains the password's hash, and an installation may change both.
    pub fn of(
        guest: &GuestConfig,
        login: (&str, &str),
        disk_mib: u64,
        mut npm_versions: BTreeMap<String, String>,
        ready: &Ready,
    ) -> Self {
        if guest.claude_at_first_boot {
            // The manifest only lists what is in the image.
            npm_versions.insert(claude::PACKAGE.to_owned(), claude::version());
        }
        Self {
            user: login.0.to_owned(),
            password: login.1.to_owned(),
            hardened: guest.hardened,
            disk_mib,
            npm_versions,
            claude_at_first_boot: guest.claude_at_first_boot,
            host_keys: ready.host_keys.clone(),
            boot_id: ready.boot_id.clone(),
        }
    }
}

/// Time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// For a boot to readiness.
    pub boot: Duration,
    /// For a check that waits for an answer.
    pub answer: Duration,
    /// For powering off after the power button was pressed.
    pub shutdown: Duration,
}

/// The guest under test. Checks that run side by side share it.
#[derive(Debug)]
pub struct Guest {
    /// The running machine; `None` after the last check.
    pub instance: Mutex<Option<Instance>>,
    /// SSH access for checks that log in themselves.
    pub ssh: Ssh,
    /// The connection for all other commands.
    pub connection: Connection,
    /// The services' forwarded ports.
    pub ports: Vec<PortForward>,
    /// The expected state.
    pub expected: Expected,
    /// Time limits.
    pub limits: TimeLimits,
    /// Whether its instructions are emulated in software.
    pub is_emulated: bool,
    /// The disk with the guest's changes, which outlives the machine.
    pub disk: Utf8PathBuf,
    /// A folder for the checks' own files.
    pub folder: Utf8PathBuf,
}

impl Guest {
    /// Takes the machine, if it is still running; the caller must end it.
    pub fn take_instance(&mut self) -> Option<Instance> {
        self.instance().take()
    }

    /// Locks the machine.
    pub(crate) fn instance(&self) -> MutexGuard<'_, Option<Instance>> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the machine, which must be running.
    pub(crate) fn running<T>(
        &self,
        use_it: impl FnOnce(&mut Instance) -> Result<T, rave_vm::Error>,
    ) -> Result<T, CheckError> {
        let mut instance = self.instance();
        let instance = instance.as_mut();
        let instance = instance.ok_or_else(|| CheckError::CouldNotRun("the machine has ended".into()))?;
        Ok(use_it(instance)?)
    }

    pub(crate) fn address(&self, service: &str) -> Result<SocketAddr, CheckError> {
        let port = self.ports.iter().find(|port| port.service == service);
        let port =
            port.ok_or_else(|| CheckError::CouldNotRun(format!("the port of {service} is not forwarded")))?;
        Ok(http::address(port.bind, port.host))
    }

    /// Fails with the reason if nothing can answer any more.
    pub(crate) fn alive(&self) -> Result<(), String> {
        let mut instance = self.instance();
        let Some(instance) = instance.as_mut() else { return Err("the machine has ended".into()) };
        match instance.ended() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(instance.died(status).to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Retries until the answer is correct, within the time limit of one check.
    pub(crate) fn until<T>(
        &self,
        seen: &mut Observation,
        ask: impl FnMut(&mut Observation) -> Result<T, CheckError>,
    ) -> Result<T, CheckError> {
        self.until_within(self.limits.answer, seen, ask)
    }

    /// The same, with another time limit.
    pub(crate) fn until_within<T>(
        &self,
        limit: Duration,
        seen: &mut Observation,
        ask: impl FnMut(&mut Observation) -> Result<T, CheckError>,
    ) -> Result<T, CheckError> {
        poll::until(limit, seen, || self.alive(), ask)
    }

    /// Runs a command in the user's login shell and records its output.
    pub(crate) fn run(&self, command: &str, seen: &mut Observation) -> Result<RemoteOutput, CheckError> {
        self.run_within(command, self.limits.answer, seen)
    }

    /// The same, for a command that may take longer than an answer.
    pub(crate) fn run_within(
        &self,
        command: &str,
        limit: Duration,
        seen: &mut Observation,
    ) -> Result<RemoteOutput, CheckError> {
        let output = self.connection.exec(&in_login_shell(command), limit)?;
        note(&output, seen);
        Ok(output)
    }

    /// Logs in again for a command, where any exit code but 0 is a failure; returns its output.
    pub(crate) fn log_in(&self, command: &str, seen: &mut Observation) -> Result<String, CheckError> {
        let output = self.ssh.exec(&in_login_shell(command), self.limits.answer)?;
        note(&output, seen);
        printed(command, &output)
    }

    /// Runs a command like [`Self::run`], where any exit code but 0 is a failure; returns its output.
    pub(crate) fn succeed(&self, command: &str, seen: &mut Observation) -> Result<String, CheckError> {
        printed(command, &self.run(command, seen)?)
    }
}

fn in_login_shell(command: &str) -> String {
    format!("bash -lc {}", rave_process::shell_quote(command))
}

fn note(output: &RemoteOutput, seen: &mut Observation) {
    let text = output.text();
    seen.note(if text.is_empty() { output.stderr.join("\n") } else { text });
}

fn printed(command: &str, output: &RemoteOutput) -> Result<String, CheckError> {
    if output.success() {
        return Ok(output.text());
    }
    let message = if output.stderr.is_empty() { output.text() } else { output.stderr.join("\n") };
    let reason = format!("`{command}` failed ({}): {message}", output.status);
    Err(if output.status.is_crash() { CheckError::Crashed(reason) } else { CheckError::Failed(reason) })
}
