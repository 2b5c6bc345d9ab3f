//! Long-lived commands.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::cmd::Stdin;
use crate::lines::{Splitter, TAIL_LINES, Tail};
use crate::process_group::{Placement, ProcessGroup};
use crate::{Cmd, Error, MAX_LINE, Status};

/// How long [`Child::tail`] waits for the last output of a command that has ended.
const TAIL_TIMEOUT: Duration = Duration::from_millis(200);

/// A command that runs in the background. Dropping it kills its whole group.
///
/// With [`Cmd::log_file`] it writes its output directly to that file, so that it can outlive this process
/// ([`Child::detach`]). Without a log file, a thread reads its output and keeps the tail, and a detached command is
/// killed by SIGPIPE or gets an error when it next prints.
pub struct Child {
    cmd: Cmd,
    group: ProcessGroup,
    stdin: Option<ChildStdin>,
    output: Output,
}

/// Where the output of a child goes.
enum Output {
    /// To the log, starting at this offset.
    Log { file: File, from: u64 },
    /// To a thread, which drops its sender at the end.
    Kept { tail: Arc<Mutex<Tail>>, done: Receiver<()> },
    /// To the terminal.
    Terminal,
}

impl Child {
    pub(crate) fn start(cmd: &Cmd) -> Result<Self, Error> {
        let stdin = cmd.stdin_stdio()?;
        let (mut group, output) = match (cmd.open_log()?, cmd.placement) {
            (_, Placement::Foreground) => {
                (cmd.start(Stdio::inherit(), Stdio::inherit(), Stdio::inherit())?, Output::Terminal)
            }
            (Some(log), Placement::OwnGroup) => Self::start_logged(cmd, stdin, log)?,
            (None, Placement::OwnGroup) => Self::start_kept(cmd, stdin)?,
        };
        let (mut stdin, _, _) = group.take_pipes();
        if let Stdin::Bytes(bytes) = &cmd.stdin
            && let Some(mut pipe) = stdin.take()
        {
            let bytes = Arc::clone(bytes);
            // A command need not read all of it; the thread ends with the pipe.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        Ok(Self { cmd: cmd.clone(), group, stdin, output })
    }

    fn start_logged(cmd: &Cmd, stdin: Stdio, mut log: File) -> Result<(ProcessGroup, Output), Error> {
        let from = log.seek(SeekFrom::End(0)).map_err(|e| cmd.io("find the log's end", e))?;
        let duplicate = || log.try_clone().map_err(|e| cmd.io("open the log", e));
        let stdout = match &cmd.stdout {
            Some(file) => file.try_clone().map_err(|e| cmd.io("open the output file", e))?,
            None => duplicate()?,
        };
        let group = cmd.start(stdin, stdout.into(), duplicate()?.into())?;
        // The offset is shared with the command, which only appends, so reading does not disturb it.
        Ok((group, Output::Log { file: log, from }))
    }

    fn start_kept(cmd: &Cmd, stdin: Stdio) -> Result<(ProcessGroup, Output), Error> {
        // Both streams in one pipe: this keeps their order, and a single thread reads them.
        let (mut reader, writer) = io::pipe().map_err(|e| cmd.io("create a pipe", e))?;
        let stdout = match &cmd.stdout {
            Some(file) => file.try_clone().map_err(|e| cmd.io("open the output file", e))?.into(),
            None => writer.try_clone().map_err(|e| cmd.io("create a pipe", e))?.into(),
        };
        let group = cmd.start(stdin, stdout, writer.into())?;
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (sender, done) = channel();
        let (kept, redactor) = (Arc::clone(&tail), cmd.redactor.clone());
        thread::spawn(move || {
            let _sender = sender;
            let mut splitter = Splitter::default();
            let mut keep = |line: &str| {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                Ok::<(), io::Error>(())
            };
            let mut buffer = vec![0; MAX_LINE];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => splitter.push(&buffer[..count], &redactor, &mut keep)?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            splitter.finish(&redactor, &mut keep)
        });
        Ok((group, Output::Kept { tail, done }))
    }

    /// The process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// The command line, secrets masked.
    pub fn command(&self) -> String {
        self.cmd.to_string()
    }

    /// How it ended, if it has. In that case, everything left in its group is killed.
    pub fn try_wait(&mut self) -> Result<Option<Status>, Error> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Waits until it has ended, at most for `limit`; `None` if it is still running. A command that was stopped by an
    /// interrupt of this process gives [`Error::Interrupted`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<Status>, Error> {
        let ended = self.group.wait_ended(Some(limit)).map_err(|e| self.cmd.io("wait for the command", e))?;
        if !ended {
            return Ok(None);
        }
        let status = self.reap()?;
        match self.cmd.interrupting_signal() {
            Some(signal) => Err(Error::Interrupted { command: self.command(), signal }),
            None => Ok(Some(status)),
        }
    }

    /// Asks the group to stop (SIGTERM), kills it after `grace`, and returns how the command ended.
    pub fn terminate(&mut self, grace: Duration) -> Result<Status, Error> {
        self.group.signal(Signal::TERM);
        if !self.group.wait_ended(Some(grace)).map_err(|e| self.cmd.io("wait for the command", e))? {
            self.group.signal(Signal::KILL);
        }
        self.reap()
    }

    /// Kills the group and returns how the command ended.
    pub fn kill(&mut self) -> Result<Status, Error> {
        self.group.signal(Signal::KILL);
        self.reap()
    }

    fn reap(&mut self) -> Result<Status, Error> {
        self.group.reap().map_err(|e| self.cmd.io("wait for the command", e))
    }

    /// The last [`TAIL_LINES`] lines it has printed so far, secrets masked. Empty if it uses the terminal.
    pub fn tail(&self) -> Vec<String> {
        match &self.output {
            Output::Terminal => Vec::new(),
            Output::Log { file, from } => self.log_tail(file, *from).unwrap_or_default(),
            Output::Kept { tail, done } => {
                if matches!(self.group.ended(), Ok(Some(_))) {
                    // Either way the thread has had enough time.
                    let _ = done.recv_timeout(TAIL_TIMEOUT);
                }
                tail.lock().unwrap_or_else(PoisonError::into_inner).lines()
            }
        }
    }

    fn log_tail(&self, mut file: &File, from: u64) -> io::Result<Vec<String>> {
        let most = (TAIL_LINES * MAX_LINE) as u64;
        let start = from.max(file.metadata()?.len().saturating_sub(most));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Tail::of(&bytes, &self.cmd.redactor).lines())
    }

    /// The error for its end, with its tail; for a command that should have kept running.
    pub fn failure(&self, status: Status) -> Error {
        Error::Failed { command: self.command(), status, tail: self.tail() }
    }

    /// Its standard input, once, after [`Cmd::stdin_piped`].
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Lets it run without this process and beyond its end; returns its process id. It should have a log file, see
    /// above.
    pub fn detach(self) -> u32 {
        self.group.release()
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid()).field("cmd", &self.cmd).finish_non_exhaustive()
    }
}
