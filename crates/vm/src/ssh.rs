//! Runs commands in the guest over SSH.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Cmd, Status, shell_quote};

use crate::Error;
use crate::files::write_atomically;
use crate::keys::{KeyPair, write_known_hosts};

mod connection;
mod exit_report;
mod stanza;

pub use connection::Connection;
pub use stanza::Stanza;

/// The most that [`Ssh::exec`] keeps of a command's standard output, bytes.
pub const OUTPUT_LIMIT: u64 = 4 * 1024 * 1024;

/// How long the connection may take, seconds.
const CONNECT_TIMEOUT: u32 = 20;

/// The exit code of ssh(1) for its own failures.
const SSH_FAILED: i32 = 255;

/// SSH access to one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The address of the host that is forwarded to the guest.
    pub host: IpAddr,
    /// Its port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// A key that the guest accepts.
    pub key: Utf8PathBuf,
    /// The file of the guest's pinned keys.
    pub known_hosts: Utf8PathBuf,
    /// The guest's name in that file, since its port may change.
    pub alias: String,
}

/// The result of a command in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteOutput {
    /// How it ended, as the guest's shell reported it. A program that exits with 128 plus the number of a signal looks
    /// like one that the signal killed: a shell cannot distinguish the two.
    pub status: Status,
    /// Its standard output, at most [`OUTPUT_LIMIT`] bytes.
    pub stdout: Vec<u8>,
    /// The last lines of its standard error.
    pub stderr: Vec<String>,
}

impl RemoteOutput {
    /// Whether it exited with code 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Standard output as text, with invalid UTF-8 replaced and without trailing white space.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// How the server reacts to a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordLogin {
    /// The login succeeded.
    Accepted,
    /// It accepts passwords, but not this one.
    Denied,
    /// It does not accept passwords.
    Refused {
        /// The methods that it accepts instead, by its names: `publickey`.
        methods: Vec<String>,
    },
}

impl Ssh {
    /// Pins the server's keys, as the guest reported them, in a file in `folder`, and returns the access.
    pub fn pin(
        folder: &Utf8Path,
        alias: &str,
        user: &str,
        address: (IpAddr, u16),
        key: &KeyPair,
        host_keys: &[String],
    ) -> Result<Self, Error> {
        let known_hosts = folder.join("known_hosts");
        write_known_hosts(&known_hosts, alias, host_keys)?;
        let (host, port) = address;
        let key = key.private.clone();
        Ok(Self { host, port, user: user.to_owned(), key, known_hosts, alias: alias.to_owned() })
    }

    /// The same guest for another user.
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }

    /// The ssh command line up to the host. The caller's own SSH configuration, keys, agent and known hosts are not
    /// used; an unknown or changed host key is an error.
    pub fn command(&self) -> Cmd {
        self.base()
            .args(["-o", "BatchMode=yes", "-o", "PreferredAuthentications=publickey"])
            .arg("-i")
            .arg(self.key.as_str())
    }

    fn base(&self) -> Cmd {
        Cmd::new("ssh")
            .args(["-F", "none", "-p", &self.port.to_string(), "-l", &self.user])
            .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=yes"])
            .args([
                "-o",
                &format!("UserKnownHostsFile={}", quote(&self.known_hosts)),
                "-o",
                "GlobalKnownHostsFile=none",
            ])
            .args([
                "-o",
                &format!("HostKeyAlias={}", self.alias),
                "-o",
                "UpdateHostKeys=no",
                "-o",
                "LogLevel=ERROR",
            ])
            .args(["-o", &format!("ConnectTimeout={CONNECT_TIMEOUT}")])
            .args(["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8"])
            .env_remove("SSH_AUTH_SOCK")
    }

    /// An interactive shell on our terminal.
    pub fn shell(&self) -> Cmd {
        self.command().arg("-t").arg(self.host.to_string()).inherit_terminal()
    }

    /// The command `command`, for the guest's shell, with our standard streams. Its exit code is a shell's: 128 plus
    /// the number of the signal that killed it, where ssh(1) alone would exit with 255.
    pub fn attached(&self, command: &str) -> Cmd {
        let child = format!("\"$SHELL\" -c {}; exit \"$?\"", shell_quote(command));
        self.to_host(self.command()).arg(child).inherit_terminal()
    }

    /// The command must follow.
    fn to_host(&self, ssh: Cmd) -> Cmd {
        ssh.arg(self.host.to_string()).arg("--")
    }

    /// Runs `command` in the shell of the guest's user and waits for it. [`Error::Ssh`] means that the connection
    /// failed or was lost: a command that was killed by a signal, or that exited with ssh's own code 255, is a
    /// [`RemoteOutput`].
    pub fn exec(&self, command: &str, limit: Duration) -> Result<RemoteOutput, Error> {
        self.exec_by(self.command(), command, limit)
    }

    /// The same, with this ssh command line.
    fn exec_by(&self, ssh: Cmd, command: &str, limit: Duration) -> Result<RemoteOutput, Error> {
        // Without the exit report, so that an error shows a command that can be typed.
        let shown = self.to_host(self.command()).arg(command).to_string();
        let ssh = self.to_host(ssh).arg(exit_report::wrap(command));
        let ended = run(&ssh, limit, "a command in the guest", &shown)?;
        let (reported, stderr) = exit_report::take(ended.tail);
        match reported {
            Some(status) => Ok(RemoteOutput { status, stdout: ended.stdout, stderr }),
            None if ended.code == SSH_FAILED => Err(self.failed(shown, stderr)),
            // A forced command or nologin(8) ran instead of the user's shell.
            None => Ok(RemoteOutput { status: Status::Code(ended.code), stdout: ended.stdout, stderr }),
        }
    }

    /// Tries to log in with only a password. The password is passed in the environment of ssh and of a helper script
    /// written to `folder`, which only this user can read; never on a command line.
    pub fn password_login(
        &self,
        password: &str,
        folder: &Utf8Path,
        limit: Duration,
    ) -> Result<PasswordLogin, Error> {
        let helper = folder.join("askpass");
        write_atomically(&helper, b"#!/bin/sh\nprintf '%s\\n' \"$RAVE_SSH_PASSWORD\"\n", 0o700)?;
        let command = self
            .base()
            .args([
                "-o",
                "PreferredAuthentications=password,keyboard-interactive",
                "-o",
                "PubkeyAuthentication=no",
            ])
            .args(["-o", "NumberOfPasswordPrompts=1"])
            .arg(self.host.to_string())
            .args(["--", "true"])
            .env("SSH_ASKPASS", helper.as_str())
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("RAVE_SSH_PASSWORD", password)
            .secret(password);
        let ended = run(&command, limit, "a login by password", &command.to_string())?;
        if ended.code != SSH_FAILED {
            return Ok(PasswordLogin::Accepted);
        }
        match offered_methods(&ended.tail) {
            None => Err(self.failed(command.to_string(), ended.tail)),
            Some(methods)
                if methods.iter().any(|method| method == "password" || method == "keyboard-interactive") =>
            {
                Ok(PasswordLogin::Denied)
            }
            Some(methods) => Ok(PasswordLogin::Refused { methods }),
        }
    }

    fn failed(&self, command: String, tail: Vec<String>) -> Error {
        Error::Ssh { host: self.host.to_string(), port: self.port, command, tail }
    }
}

/// How ssh(1) ended.
struct Ended {
    /// ssh's exit code; also 255 if a signal killed ssh itself.
    code: i32,
    /// Standard output, at most [`OUTPUT_LIMIT`] bytes.
    stdout: Vec<u8>,
    /// The last lines of standard error.
    tail: Vec<String>,
}

/// Runs ssh. `shown` is the command line to show in errors.
fn run(command: &Cmd, limit: Duration, doing: &'static str, shown: &str) -> Result<Ended, Error> {
    let mut file = tempfile::tempfile().map_err(|e| Error::io("create a file in", "TMPDIR", e))?;
    let into = file.try_clone().map_err(|e| Error::io("open again", "a temporary file", e))?;
    let result = command.clone().stdout_file(into).timeout(limit).output();
    let (status, tail) = match result {
        Ok(output) => (output.status, output.tail),
        Err(rave_process::Error::Failed { status, tail, .. }) => (status, tail),
        Err(rave_process::Error::TimedOut { after, .. }) => {
            return Err(Error::TooSlow { doing: doing.to_owned(), after, command: shown.to_owned() });
        }
        Err(error) => return Err(Error::process(doing)(error)),
    };
    let stdout = read_back(&mut file).map_err(|e| Error::io("read", "a temporary file", e))?;
    let code = match status {
        Status::Code(code) => code,
        Status::Signal(_) => SSH_FAILED,
    };
    Ok(Ended { code, stdout, tail })
}

fn read_back(file: &mut File) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The methods that the server accepts, from ssh's `agent@127.0.0.1: Permission denied (publickey,password).`
fn offered_methods(stderr: &[String]) -> Option<Vec<String>> {
    let line = stderr.iter().rev().find(|line| line.contains("Permission denied ("))?;
    let (_, rest) = line.split_once("Permission denied (")?;
    let (methods, _) = rest.split_once(')')?;
    Some(methods.split(',').map(str::to_owned).collect())
}

/// A path as one word of an `ssh_config(5)` value: quoted, with percent signs, which start tokens, doubled.
pub fn quote(path: &Utf8Path) -> String {
    format!("\"{}\"", path.as_str().replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh() -> Ssh {
        Ssh {
            host: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 2223,
            user: "agent".into(),
            key: "/run/a b/ssh-key".into(),
            known_hosts: "/run/a b/100%/known_hosts".into(),
            alias: "rave-1".into(),
        }
    }

    #[test]
    fn the_command_line_ignores_the_callers_settings_and_pins_keys() {
        let text = ssh().command().argv().join("\n");
        for expected in [
            "-F\nnone",
            "IdentityAgent=none",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=yes",
            "UserKnownHostsFile=\"/run/a b/100%%/known_hosts\"",
            "HostKeyAlias=rave-1",
            "BatchMode=yes",
            "-i\n/run/a b/ssh-key",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn the_servers_methods_are_parsed_from_a_denial() {
        let of = |text: &str| offered_methods(&[text.to_owned()]);
        assert_eq!(of("agent@127.0.0.1: Permission denied (publickey).").unwrap(), ["publickey"]);
        assert_eq!(of("x: Permission denied (publickey,password).").unwrap(), ["publickey", "password"]);
        assert_eq!(of("ssh: connect to host 127.0.0.1 port 1: Connection refused"), None);
    }
}
