//! A supervisor if there is none: a program in a session of its own, so that no terminal and no shell takes it along.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rave_process::{Cmd, interrupt};
use serde::{Deserialize, Serialize};

use crate::control::Connection;
use crate::error::Error;
use crate::life_lock::LifeLock;
use crate::place::Place;

/// How long a supervisor may take to start QEMU, to give its guest an identity and to listen: the fork of a disk boots before.
const LIMIT: Duration = Duration::from_secs(600);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// The program that supervises: this one, with the arguments of its own hidden command.
#[derive(Debug, Clone)]
pub struct Supervise {
    /// The program.
    pub program: Utf8PathBuf,
    /// What to call it with.
    pub arguments: Vec<String>,
}

/// What `failure.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) remedy: Option<String>,
}

/// Connects to the supervisor, and starts one first where none listens: it starts the machine, or attaches to it where it runs.
/// The caller holds the lock.
pub fn attend(place: &Place, supervise: &Supervise, _lock: &LifeLock) -> Result<Connection, Error> {
    if let Some(connection) = Connection::open(place) {
        return Ok(connection);
    }
    match fs::remove_file(place.failure()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", place.failure(), error));
        }
        _ => {}
    }
    // setsid(1) starts the program in a session without a terminal. It is let go of at once: the end of a command is the end of
    // its group, in which the program still is for a moment.
    let command = Cmd::new("setsid")
        .args(["--fork", supervise.program.as_str()])
        .args(supervise.arguments.iter().map(String::as_str))
        .current_dir("/")
        .log_file(place.supervisor_log().as_std_path());
    command.spawn()?.detach();
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(connection) = Connection::open(place) {
            return Ok(connection);
        }
        let name = place.name().clone();
        if let Ok(text) = fs::read(place.failure()) {
            let failure: Option<Failure> = serde_json::from_slice(&text).ok();
            let (why, remedy) = match failure {
                Some(failure) => (failure.why, failure.remedy),
                None => (last_words(place), None),
            };
            return Err(Error::NotStarted { name, why, remedy });
        }
        if Instant::now() >= deadline {
            return Err(Error::NotStarted { name, why: last_words(place), remedy: None });
        }
        interrupt::pause(PAUSE)?;
    }
}

/// The end of the supervisor's log.
fn last_words(place: &Place) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(place.supervisor_log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}
