//! Starts a supervisor if there is none, in its own session, so that it does not end with a terminal or a shell.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rave_process::{Cmd, interrupt};
use serde::{Deserialize, Serialize};

use crate::control::Connection;
use crate::error::Error;
use crate::files::remove;
use crate::life_lock::LifeLock;
use crate::place::Place;

/// How long a supervisor may take to start QEMU, to give its guest an identity and to listen: a fork of only a disk
/// boots first.
const LIMIT: Duration = Duration::from_secs(1200);
/// How often to check whether it listens.
const PAUSE: Duration = Duration::from_millis(20);
/// How often to check whether its process exists. It does from the beginning, as setsid(1) forks it.
const PROCESS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The program that supervises: this program, with the arguments of its own hidden command.
#[derive(Debug, Clone)]
pub struct Supervise {
    /// The program.
    pub program: Utf8PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Supervise {
    /// Whether a process has this command line, `proc_pid_cmdline(5)`.
    fn runs(&self) -> bool {
        let args = std::iter::once(self.program.as_str()).chain(self.arguments.iter().map(String::as_str));
        let wanted: String = args.flat_map(|word| [word, "\0"]).collect();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut lines = entries.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
        // setsid(1) has the command line after its own name until it executes the program.
        lines.any(|line| line.ends_with(wanted.as_bytes()))
    }
}

/// The content of `failure.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) remedy: Option<String>,
}

/// Connects to the supervisor, after starting one if none listens: it starts the machine, or attaches to a running one.
/// The caller must hold the lock.
pub fn attend(place: &Place, supervise: &Supervise, _lock: &LifeLock) -> Result<Connection, Error> {
    if let Some(connection) = Connection::open(place) {
        return Ok(connection);
    }
    remove(&place.failure())?;
    // setsid(1) starts the program in a session without a terminal. It is detached at once: a command's end kills its
    // process group, which the program is still in for a moment.
    let command = Cmd::new("setsid")
        .args(["--fork", supervise.program.as_str()])
        .args(supervise.arguments.iter().map(String::as_str))
        .current_dir("/")
        .log_file(place.supervisor_log().as_std_path());
    command.spawn()?.detach();
    let started = Instant::now();
    let mut last_check = started;
    loop {
        if let Some(connection) = Connection::open(place) {
            return Ok(connection);
        }
        let name = place.name().clone();
        if let Ok(text) = fs::read(place.failure()) {
            let failure: Option<Failure> = serde_json::from_slice(&text).ok();
            let (why, remedy) = match failure {
                Some(failure) => (failure.why, failure.remedy),
                None => (log_tail(place), None),
            };
            return Err(Error::NotStarted { name, why, remedy });
        }
        // Do not wait for a supervisor that could not even write its failure, as on a full disk.
        let is_gone = last_check.elapsed() >= PROCESS_CHECK_INTERVAL && {
            last_check = Instant::now();
            !supervise.runs() && Connection::open(place).is_none() && !place.failure().exists()
        };
        if is_gone || started.elapsed() >= LIMIT {
            let remedy = Some(format!("start it again: cargo xtask start {name}"));
            return Err(Error::NotStarted { name, why: log_tail(place), remedy });
        }
        interrupt::pause(PAUSE)?;
    }
}

/// The end of the supervisor's log.
fn log_tail(place: &Place) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(place.supervisor_log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    without_commands(&read().unwrap_or_default())
}

/// The log without the command lines, which begin with a dollar sign; a killed process logs nothing.
fn without_commands(log: &str) -> String {
    let message: Vec<&str> = log.lines().filter(|line| !line.starts_with("$ ")).collect();
    let message = message.join("\n").trim().to_owned();
    if message.is_empty() { "its supervisor was killed".to_owned() } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_supervisor_has_no_message_and_a_message_is_reported() {
        assert_eq!(without_commands("$ setsid --fork rave supervise demo\n"), "its supervisor was killed");
        assert_eq!(
            without_commands("$ setsid\nerror: no memory\nremedy: x\n"),
            "error: no memory\nremedy: x"
        );
    }

    #[test]
    fn a_process_is_identified_by_its_complete_command_line() {
        let line = fs::read("/proc/self/cmdline").unwrap();
        let mut args: Vec<String> =
            String::from_utf8(line).unwrap().split_terminator('\0').map(str::to_owned).collect();
        let program = Utf8PathBuf::from(args.remove(0));
        let this = Supervise { program, arguments: args };
        assert!(this.runs());
        let mut other = this;
        other.arguments.push("x".to_owned());
        assert!(!other.runs());
    }
}
