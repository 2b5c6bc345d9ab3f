//! The guest of a sandbox, for the workspace: programs over the supervisor's socket.

use std::io::{self, Read, Write};
use std::time::Duration;

use rave_guest::channel::message::Exec;
use rave_process::interrupt;
use rave_sandbox::exec::{self, HostEvent, Streams};
use rave_sandbox::{Connection, Place};
use rave_workspace::Guest;

use crate::cmd::sandbox::attend::{Named, no_space};
use crate::ui::Ui;

/// SIGTERM of signal(7).
const TERMINATE: i32 = 15;
/// How much of a program's standard error is kept, bytes.
const MAX_STDERR: usize = 4096;
/// The exit code of a `rave-guest` that does not know its arguments: it is older than this version.
const UNKNOWN_ARGUMENTS: u8 = 2;

/// A running sandbox.
pub(super) struct SandboxGuest {
    place: Place,
    limit: Option<Duration>,
}

impl SandboxGuest {
    /// Connects to the sandbox; its supervisor is started if necessary. A program that takes longer than `limit` is
    /// killed.
    pub(super) fn new(named: &Named, limit: Option<Duration>, ui: &Ui) -> anyhow::Result<Self> {
        // Waiting for it would never end.
        if named.connect(ui)?.status()?.lacks_space {
            return Err(no_space(&named.name).into());
        }
        Ok(Self { place: named.place(), limit })
    }
}

impl Guest for SandboxGuest {
    fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn Read + Send>>,
        output: &mut (dyn Write + Send),
    ) -> Result<(), String> {
        let connection = Connection::open(&self.place).ok_or("its supervisor has ended")?;
        let request = Exec {
            command: command.to_vec(),
            // Keeps the output of the guest user's shell profile out of the stream.
            env: vec![("HOME".to_owned(), "/nonexistent".to_owned())],
            timeout_ms: self.limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            ..Exec::default()
        };
        let mut message = Beginning(Vec::new());
        let streams = Streams { stdin: input, stdout: output, stderr: &mut message };
        let mut is_ended = false;
        let mut events = || {
            let ends = !is_ended && interrupt::requested().is_some();
            is_ended |= ends;
            if ends { vec![HostEvent::Signal(TERMINATE)] } else { Vec::new() }
        };
        let ended =
            exec::run(connection, request, streams, &mut events).map_err(|error| error.to_string())?;
        if let Some(error) = ended.error {
            return Err(error);
        }
        let message = String::from_utf8_lossy(&message.0).trim().to_owned();
        match ended.shell_code() {
            0 => Ok(()),
            UNKNOWN_ARGUMENTS if command.first().is_some_and(|program| program == "rave-guest") => {
                Err("its image is older than this version of RAVE and cannot take files: \
                                                make another sandbox"
                    .into())
            }
            code if message.is_empty() => Err(format!("{} ended with {code}", command.join(" "))),
            _ => Err(message.trim_start_matches("rave-guest: ").to_owned()),
        }
    }
}

/// Keeps the beginning of what is written to it.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = MAX_STDERR.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend_from_slice(&bytes[..most]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
