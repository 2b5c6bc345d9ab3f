//! The ways to run a command.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
#[expect(clippy::disallowed_types, reason = "this crate is the one that spawns")]
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cmd::Stdin;
use crate::io_loop::{Feed, IoLoop, Listener, Stdout};
use crate::lines::{CAPTURE_LIMIT, Line, Splitter, Tail};
use crate::process_group::{Placement, ProcessGroup};
use crate::registry::OnInterrupt;
use crate::which::{resolve, search_path};
use crate::{Child, Cmd, Error, Status, interrupt};

/// The result of a command that succeeded.
///
/// It does not include the peak memory: neither std nor rustix offers wait4(2), and `/proc` forgets it when the process
/// exits.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output as captured by [`Cmd::output`], at most [`CAPTURE_LIMIT`] bytes; otherwise empty.
    pub stdout: Vec<u8>,
    /// The last printed lines: of standard error if stdout was captured, otherwise of both streams.
    pub tail: Vec<String>,
    /// How it ended; always a success.
    pub status: Status,
    /// Wall-clock time from start to end.
    pub elapsed: Duration,
}

impl Output {
    /// Standard output as text, with invalid UTF-8 replaced and without trailing white space.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

impl Cmd {
    /// Runs the command and waits for it. Each line of its output is passed to `on_line` as it arrives; the last
    /// [`crate::TAIL_LINES`] are kept.
    pub fn run(&self, on_line: &mut dyn FnMut(Line<'_>)) -> Result<Output, Error> {
        self.drive(Stdout::Lines(Splitter::default()), on_line, NO_FEED)
    }

    /// Runs the command and captures its standard output, up to [`CAPTURE_LIMIT`] bytes.
    pub fn output(&self) -> Result<Output, Error> {
        self.drive(Stdout::Capture(Vec::new()), &mut |_| {}, NO_FEED)
    }

    /// Runs the command with the output of `feed` as its standard input, so that any amount can be streamed into it.
    /// The command's output is read while `feed` writes, on the same thread.
    ///
    /// If the command dies in the meantime, the writer fails with `BrokenPipe`, and the command's failure is returned.
    /// A command that succeeds without reading everything is a success. If `feed` itself fails, the command is stopped
    /// before it can mistake the end of its input for a complete one, and `feed`'s error is returned as [`Error::Io`].
    pub fn run_with_input<F>(&self, feed: F, on_line: &mut dyn FnMut(Line<'_>)) -> Result<Output, Error>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()>,
    {
        self.drive(Stdout::Lines(Splitter::default()), on_line, Some(feed))
    }

    /// Starts a long-lived command such as QEMU. See [`Child`] for where its output goes.
    pub fn spawn(&self) -> Result<Child, Error> {
        Child::start(self)
    }

    fn drive<F>(
        &self,
        stdout: Stdout,
        on_line: &mut dyn FnMut(Line<'_>),
        feed: Option<F>,
    ) -> Result<Output, Error>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()>,
    {
        let started = Instant::now();
        let listener =
            Listener { redactor: &self.redactor, log: self.open_log()?, on_line, tail: Tail::default() };
        let group = self.start_piped(feed.is_some())?;
        let mut io_loop =
            IoLoop::new(group, stdout, listener, self.timeout).map_err(|e| self.io("set up pipes", e))?;
        let mut written = match (feed, &self.stdin) {
            (Some(feed), _) => feed(&mut Feed(&mut io_loop)),
            (None, Stdin::Bytes(bytes)) => Feed(&mut io_loop).write_all(bytes),
            (None, _) => Ok(()),
        };
        if io_loop.ended().is_some_and(|status| !status.success()) {
            // Once the command's own failure is known, an error from feeding it is only a consequence.
            written = Ok(());
        }
        if written.is_err() {
            io_loop.stop();
        } else {
            io_loop.close_stdin();
        }
        let status = io_loop.finish().map_err(|e| self.io("read the command's output", e))?;
        let result = self.result(io_loop, status, started.elapsed());
        match (result, written) {
            (Ok(_) | Err(Error::Failed { .. }), Err(source)) => {
                Err(self.io("write the command's input", source))
            }
            (result, _) => result,
        }
    }

    fn result(&self, io_loop: IoLoop<'_>, status: Status, elapsed: Duration) -> Result<Output, Error> {
        let timed_out = io_loop.timed_out;
        let mut tail = io_loop.listener.tail;
        let stdout = match io_loop.stdout {
            Stdout::Lines(_) => Vec::new(),
            Stdout::Capture(bytes) => bytes,
        };
        let failed = timed_out || !status.success();
        if failed && tail.is_empty() {
            // Some programs print their errors on standard output.
            tail = Tail::of(&stdout, &self.redactor);
        }
        let (command, tail) = (self.to_string(), tail.lines());
        if timed_out {
            return Err(Error::TimedOut { command, after: self.timeout.unwrap_or_default(), tail });
        }
        if let Some(signal) = self.interrupting_signal() {
            // Even after exit code 0: many programs exit with it when asked to stop, with their work half done.
            return Err(Error::Interrupted { command, signal });
        }
        if !status.success() {
            return Err(Error::Failed { command, status, tail });
        }
        if stdout.len() > CAPTURE_LIMIT {
            return Err(Error::TooMuchOutput { command, limit: CAPTURE_LIMIT });
        }
        Ok(Output { stdout, tail, status, elapsed })
    }

    fn start_piped(&self, fed: bool) -> Result<ProcessGroup, Error> {
        let stdin = if fed { Stdio::piped() } else { self.stdin_stdio()? };
        let stdout = match &self.stdout {
            Some(file) => file.try_clone().map_err(|e| self.io("open the output file", e))?.into(),
            None => Stdio::piped(),
        };
        self.start(stdin, stdout, Stdio::piped())
    }

    /// Starts the process. A command for the terminal keeps our streams, whatever is passed.
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub(crate) fn start(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<ProcessGroup, Error> {
        if let Some(signal) = self.interrupting_signal() {
            return Err(Error::Interrupted { command: self.to_string(), signal });
        }
        let own_path = self.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = match own_path {
            Some((_, value)) => value.clone().unwrap_or_default(),
            None => search_path(std::env::var_os("PATH").as_deref()),
        };
        let program = resolve(&self.program, &path)
            .ok_or_else(|| Error::NotFound { program: self.program.to_string_lossy().into_owned() })?;
        let mut command = Command::new(program);
        command.args(&self.args).env("PATH", path);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            // Otherwise the system's "no such file" would seem to refer to the program.
            if let Err(e) = std::fs::metadata(folder) {
                let text = format!("working folder {}: {e}", folder.display());
                return Err(self.spawn_error(io::Error::new(e.kind(), text)));
            }
            command.current_dir(folder);
        }
        if self.placement == Placement::OwnGroup {
            command.stdin(stdin).stdout(stdout).stderr(stderr);
        }
        ProcessGroup::start(&mut command, self.placement, self.on_interrupt).map_err(|e| self.spawn_error(e))
    }

    /// Standard input if it is not a pipe.
    pub(crate) fn stdin_stdio(&self) -> Result<Stdio, Error> {
        Ok(match &self.stdin {
            Stdin::Null => Stdio::null(),
            Stdin::Inherit => Stdio::inherit(),
            Stdin::Piped | Stdin::Bytes(_) => Stdio::piped(),
            Stdin::File(file) => file.try_clone().map_err(|e| self.io("open the input file", e))?.into(),
        })
    }

    /// The log, opened for appending, with the command line written to it.
    pub(crate) fn open_log(&self) -> Result<Option<File>, Error> {
        let Some(path) = &self.log else { return Ok(None) };
        let open = || {
            let mut log = OpenOptions::new().create(true).read(true).append(true).open(path)?;
            writeln!(log, "$ {self}")?;
            Ok(log)
        };
        open().map(Some).map_err(|e| self.io(&format!("write the log {}", path.display()), e))
    }

    /// The signal that turns this command's result into an interruption.
    pub(crate) fn interrupting_signal(&self) -> Option<interrupt::Signal> {
        interrupt::requested().filter(|_| self.on_interrupt == OnInterrupt::Stop)
    }

    pub(crate) fn io(&self, action: &str, source: io::Error) -> Error {
        Error::Io { action: format!("could not {action}"), command: self.to_string(), source }
    }

    fn spawn_error(&self, source: io::Error) -> Error {
        Error::Spawn { command: self.to_string(), source }
    }
}

/// No feeder, for the ways to run a command that have none.
const NO_FEED: Option<fn(&mut dyn Write) -> io::Result<()>> = None;
