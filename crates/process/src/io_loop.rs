//! The loop that feeds, drains, times and waits for a command. It needs no threads: poll(2) watches the pipes and the
//! process together, so a full pipe on either side never blocks the other.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::lines::{CAPTURE_LIMIT, Line, Splitter, Stream, Tail};
use crate::process_group::{ProcessGroup, poll_some};
use crate::redact::Redactor;
use crate::{STOP_GRACE, Status};

/// How much is read at once: the default capacity of a pipe, pipe(7).
const CHUNK: usize = 64 * 1024;

/// How long an ended command's pipes may stay silent before we stop reading: a process outside the group holds them
/// open.
const DRAIN_SILENCE: Duration = Duration::from_millis(200);

/// The most that an ended command can have left in a pipe: `/proc/sys/fs/pipe-max-size`, pipe(7).
const DRAIN_LIMIT: usize = 1024 * 1024;

/// Where a command's output goes: the listener, the log and the tail.
pub(crate) struct Listener<'a> {
    pub(crate) redactor: &'a Redactor,
    pub(crate) log: Option<File>,
    pub(crate) on_line: &'a mut dyn FnMut(Line<'_>),
    pub(crate) tail: Tail,
}

impl Listener<'_> {
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        if let Some(log) = &mut self.log {
            log.write_all(format!("{text}\n").as_bytes())?;
        }
        self.tail.push(text);
        (self.on_line)(Line { stream, text });
        Ok(())
    }
}

/// What to do with standard output.
pub(crate) enum Stdout {
    /// Split into lines for the listener.
    Lines(Splitter),
    /// Kept completely, up to [`CAPTURE_LIMIT`].
    Capture(Vec<u8>),
}

/// The progress of stopping the command.
#[derive(Clone, Copy)]
enum Stop {
    No,
    Asked { kill_at: Instant },
    Killed,
}

pub(crate) struct IoLoop<'a> {
    group: ProcessGroup,
    stdin: Option<ChildStdin>,
    stdout_pipe: Option<ChildStdout>,
    stderr_pipe: Option<ChildStderr>,
    pub(crate) stdout: Stdout,
    stderr: Splitter,
    pub(crate) listener: Listener<'a>,
    deadline: Option<Instant>,
    stop: Stop,
    ended: Option<Status>,
    pub(crate) timed_out: bool,
    buffer: Vec<u8>,
}

/// The result of poll(2).
#[derive(Default)]
struct Ready {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl<'a> IoLoop<'a> {
    pub(crate) fn new(
        mut group: ProcessGroup,
        stdout: Stdout,
        listener: Listener<'a>,
        timeout: Option<Duration>,
    ) -> io::Result<Self> {
        let (stdin, stdout_pipe, stderr_pipe) = group.take_pipes();
        if let Some(stdin) = &stdin {
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        Ok(Self {
            group,
            stdin,
            stdout_pipe,
            stderr_pipe,
            stdout,
            stderr: Splitter::default(),
            listener,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            stop: Stop::No,
            ended: None,
            timed_out: false,
            buffer: vec![0; CHUNK],
        })
    }

    /// How the command ended, once known.
    pub(crate) fn ended(&self) -> Option<Status> {
        self.ended
    }

    /// Asks the command to stop; it is killed if it does not.
    pub(crate) fn stop(&mut self) {
        if matches!(self.stop, Stop::No) {
            self.group.signal(Signal::TERM);
            self.stop = Stop::Asked { kill_at: Instant::now() + STOP_GRACE };
        }
    }

    /// Closes standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until something happens, reads output, and writes the beginning of `input` if there is space. Returns how
    /// much was written.
    pub(crate) fn step(&mut self, input: &[u8]) -> io::Result<usize> {
        let ready = self.wait(!input.is_empty(), self.next_alarm())?;
        self.take(&ready)?;
        self.keep_time();
        self.ended = self.group.ended()?;
        if ready.stdin { self.give(input) } else { Ok(0) }
    }

    /// Reads the command's output until it has ended, and reaps it.
    pub(crate) fn finish(&mut self) -> io::Result<Status> {
        while self.ended.is_none() {
            self.step(&[])?;
        }
        self.group.sweep();
        self.drain()?;
        self.group.reap()
    }

    /// Reads what an ended command left in its pipes.
    fn drain(&mut self) -> io::Result<()> {
        let mut taken = 0;
        while taken <= DRAIN_LIMIT && (self.stdout_pipe.is_some() || self.stderr_pipe.is_some()) {
            let ready = self.wait(false, Some(DRAIN_SILENCE))?;
            if !ready.stdout && !ready.stderr {
                break;
            }
            taken += self.take(&ready)?;
        }
        self.end_lines()
    }

    fn end_lines(&mut self) -> io::Result<()> {
        let Self { stdout, stderr, listener, .. } = self;
        let redactor = listener.redactor;
        if let Stdout::Lines(splitter) = stdout {
            splitter.finish(redactor, &mut |line| listener.line(Stream::Stdout, line))?;
        }
        stderr.finish(redactor, &mut |line| listener.line(Stream::Stderr, line))
    }

    /// The time until a timer expires.
    fn next_alarm(&self) -> Option<Duration> {
        let at = match self.stop {
            Stop::No => self.deadline,
            Stop::Asked { kill_at } => Some(kill_at),
            Stop::Killed => None,
        };
        at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        match self.stop {
            Stop::No if self.deadline.is_some_and(|deadline| deadline <= now) => {
                self.timed_out = true;
                self.stop();
            }
            Stop::Asked { kill_at } if kill_at <= now => {
                self.group.signal(Signal::KILL);
                self.stop = Stop::Killed;
            }
            _ => {}
        }
    }

    fn wait(&self, want_write: bool, limit: Option<Duration>) -> io::Result<Ready> {
        let stdin = self.stdin.as_ref().filter(|_| want_write).map(|pipe| (pipe.as_fd(), PollFlags::OUT));
        let stdout = self.stdout_pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN));
        let stderr = self.stderr_pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN));
        let group = Some((self.group.pidfd(), PollFlags::IN)).filter(|_| self.ended.is_none());
        let wanted = [stdin, stdout, stderr, group];
        let mut fds: Vec<PollFd<'_>> =
            wanted.iter().flatten().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        poll_some(&mut fds, limit)?;
        // Errors and hang-ups count as ready: the read or write that follows shows which.
        let mut found = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |wanted: bool| wanted && found.next().unwrap_or(false);
        Ok(Ready {
            stdin: next(stdin.is_some()),
            stdout: next(stdout.is_some()),
            stderr: next(stderr.is_some()),
        })
    }

    /// Reads once from each ready pipe; returns the number of bytes.
    fn take(&mut self, ready: &Ready) -> io::Result<usize> {
        let Self { stdout_pipe, stderr_pipe, stdout, stderr, listener, buffer, .. } = self;
        let redactor = listener.redactor;
        let mut taken = 0;
        if ready.stdout {
            let count = read_some(stdout_pipe, buffer)?;
            taken += count;
            match stdout {
                Stdout::Lines(splitter) => {
                    splitter
                        .push(&buffer[..count], redactor, &mut |line| listener.line(Stream::Stdout, line))?;
                }
                // One byte more than the limit shows that there was too much.
                Stdout::Capture(bytes) => {
                    let room = (CAPTURE_LIMIT + 1).saturating_sub(bytes.len());
                    bytes.extend_from_slice(&buffer[..count.min(room)]);
                }
            }
        }
        if ready.stderr {
            let count = read_some(stderr_pipe, buffer)?;
            taken += count;
            stderr.push(&buffer[..count], redactor, &mut |line| listener.line(Stream::Stderr, line))?;
        }
        Ok(taken)
    }

    /// Writes as much as possible. If the reader is gone, the pipe is closed for good: that is up to the command, and
    /// its exit status shows whether it was an error.
    fn give(&mut self, input: &[u8]) -> io::Result<usize> {
        let Some(stdin) = &mut self.stdin else { return Ok(0) };
        match stdin.write(input) {
            Ok(count) => Ok(count),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                io::ErrorKind::BrokenPipe => {
                    self.stdin = None;
                    Ok(0)
                }
                _ => Err(error),
            },
        }
    }
}

/// Reads once; closes a pipe at its end.
fn read_some<R: Read>(pipe: &mut Option<R>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(reader) = pipe else { return Ok(0) };
    match reader.read(buffer) {
        Ok(0) => {
            *pipe = None;
            Ok(0)
        }
        Ok(count) => Ok(count),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

/// A command's standard input, as a writer that processes its output in the meantime.
pub(crate) struct Feed<'p, 'a>(pub(crate) &'p mut IoLoop<'a>);

impl Write for Feed<'_, '_> {
    /// A command that has closed its input and is still running, or has succeeded, needed no more: the rest is accepted
    /// and dropped. If the command failed, this gives `BrokenPipe`.
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        if input.is_empty() {
            return Ok(0);
        }
        loop {
            match self.0.ended {
                Some(status) if status.success() => return Ok(input.len()),
                Some(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                None if self.0.stdin.is_none() => {
                    self.0.step_without_waiting()?;
                    if self.0.ended.is_none() {
                        return Ok(input.len());
                    }
                }
                None => {
                    let count = self.0.step(input)?;
                    if count > 0 {
                        return Ok(count);
                    }
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IoLoop<'_> {
    /// Like [`IoLoop::step`], but without waiting.
    fn step_without_waiting(&mut self) -> io::Result<()> {
        let ready = self.wait(false, Some(Duration::ZERO))?;
        self.take(&ready)?;
        self.keep_time();
        self.ended = self.group.ended()?;
        Ok(())
    }
}
