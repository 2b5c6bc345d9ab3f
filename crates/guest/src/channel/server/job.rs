//! One program: its streams, its timeout, its end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use rustix::termios::{Winsize, tcsetwinsize};

use super::cgroup::Cgroup;
use crate::channel::frame::{Kind, MAX_PAYLOAD};
use crate::channel::limits::{TIMEOUT_GRACE_MS, WINDOW};
use crate::channel::message::Ended;

/// How long a program's children may be silent after its end before the stream is closed, even if they keep its output
/// open.
const SILENCE: Duration = Duration::from_millis(250);
/// The most bytes of output that are read after a program's end: more than a pipe holds (pipe(7)).
const AFTERWARDS: usize = 1024 * 1024;
/// What a terminal interprets as the end of input at the beginning of a line: VEOF of termios(3).
const END_OF_INPUT: u8 = 4;

/// The server's ends of a program's streams, which are non-blocking.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) input: Option<OwnedFd>,
    pub(super) output: Option<OwnedFd>,
    pub(super) errors: Option<OwnedFd>,
    pub(super) is_terminal: bool,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Its standard input accepts bytes.
    Input,
    /// It wrote output.
    Output(Kind),
    /// It ended.
    End,
}

/// A program that was started.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    streams: Streams,
    cgroup: Option<Cgroup>,
    /// Input that the program has not read yet, at most [`WINDOW`] bytes.
    input: VecDeque<u8>,
    input_ends: bool,
    /// The last byte of input ended a line, or there was none.
    is_at_line_start: bool,
    /// The number of bytes of output that the host accepts.
    pub(super) credit: u32,
    status: Option<ExitStatus>,
    /// The time of its last output or of its end, once it has ended.
    last_activity: Option<Instant>,
    /// The number of bytes read since it ended.
    afterwards: usize,
    deadline: Option<Instant>,
    kill_at: Option<Instant>,
    timed_out: bool,
}

impl Job {
    pub(super) fn new(
        child: Child,
        streams: Streams,
        cgroup: Option<Cgroup>,
        timeout_ms: Option<u64>,
    ) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            pidfd: pidfd_open(pid, PidfdFlags::empty())?,
            child,
            pid,
            streams,
            cgroup,
            input: VecDeque::new(),
            input_ends: false,
            is_at_line_start: true,
            credit: WINDOW,
            status: None,
            last_activity: None,
            afterwards: 0,
            deadline: timeout_ms.and_then(|limit| Instant::now().checked_add(Duration::from_millis(limit))),
            kill_at: None,
            timed_out: false,
        })
    }

    /// What to poll for. Output is only read as far as the host accepts it.
    pub(super) fn awaited(&self, may_read: bool) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut all = Vec::new();
        if let Some(input) = &self.streams.input
            && !self.input.is_empty()
        {
            all.push((Source::Input, input.as_fd(), PollFlags::OUT));
        }
        if may_read && self.credit > 0 {
            for (kind, fd) in [(Kind::Stdout, &self.streams.output), (Kind::Stderr, &self.streams.errors)] {
                all.extend(fd.iter().map(|fd| (Source::Output(kind), fd.as_fd(), PollFlags::IN)));
            }
        }
        if self.status.is_none() {
            all.push((Source::End, self.pidfd.as_fd(), PollFlags::IN));
        }
        all
    }

    /// When to check it again even if nothing happens.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let silence = self.last_activity.filter(|_| self.credit > 0).map(|last| last + SILENCE);
        let time = if self.status.is_none() { self.kill_at.or(self.deadline) } else { None };
        [silence, time].into_iter().flatten().min()
    }

    /// Takes input from the host; false if that exceeds the host's credit.
    pub(super) fn take_input(&mut self, bytes: &[u8]) -> bool {
        if self.input.len() + bytes.len() > WINDOW as usize {
            return false;
        }
        // Discard input for a program that has closed it.
        if self.streams.input.is_some() && !self.input_ends {
            self.input.extend(bytes);
            self.is_at_line_start = bytes.last().map_or(self.is_at_line_start, |last| *last == b'\n');
        }
        true
    }

    pub(super) fn end_input(&mut self) {
        if self.input_ends {
            return;
        }
        self.input_ends = true;
        if self.streams.is_terminal {
            // Within a line the first only hands over what was typed.
            let count = if self.is_at_line_start { 1 } else { 2 };
            self.input.extend(std::iter::repeat_n(END_OF_INPUT, count));
        }
        if self.input.is_empty() {
            self.streams.input = None;
        }
    }

    /// Passes input to the program. Returns how much it accepted.
    pub(super) fn feed(&mut self) -> u32 {
        let mut taken = 0;
        while let Some(input) = &self.streams.input
            && !self.input.is_empty()
        {
            match rustix::io::write(input, self.input.as_slices().0) {
                Ok(count) => {
                    self.input.drain(..count);
                    taken += count;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    taken += self.input.len();
                    self.input.clear();
                    self.streams.input = None;
                }
            }
        }
        if self.input.is_empty() && self.input_ends && !self.streams.is_terminal {
            self.streams.input = None;
        }
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    /// Reads its output into `buffer`, at most what fits in a frame and the host accepts.
    pub(super) fn read(&mut self, kind: Kind, buffer: &mut [u8]) -> Option<usize> {
        let fd = if kind == Kind::Stdout { &mut self.streams.output } else { &mut self.streams.errors };
        let most = (self.credit as usize).min(MAX_PAYLOAD).min(buffer.len());
        if most == 0 {
            return None;
        }
        let end = &mut buffer[..most];
        match rustix::io::read(fd.as_ref()?, end) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            // A terminal that no process has open any more returns an I/O error (pty(7)).
            Ok(0) | Err(_) => {
                *fd = None;
                None
            }
            Ok(count) => {
                self.credit -= u32::try_from(count).unwrap_or(u32::MAX).min(self.credit);
                if let Some(last) = &mut self.last_activity {
                    *last = Instant::now();
                    self.afterwards += count;
                }
                Some(count)
            }
        }
    }

    /// Records its end.
    pub(super) fn check_for_end(&mut self) {
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.status = Some(status);
            self.last_activity = Some(Instant::now());
            self.streams.input = None;
            self.input.clear();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.status.is_some()
    }

    /// Ends it if it has timed out.
    pub(super) fn check_timeouts(&mut self, now: Instant) {
        if self.status.is_some() {
            return;
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.kill();
        } else if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.timed_out = true;
            self.kill_at = Some(now + Duration::from_millis(TIMEOUT_GRACE_MS));
            let _ = kill_process_group(self.pid, Signal::TERM);
            let _ = kill_process_group(self.pid, Signal::CONT);
        }
    }

    /// Whether it has ended and its output is finished. Its children may keep its output open forever, but not the
    /// stream.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let Some(last) = self.last_activity else { return false };
        if (self.streams.output.is_none() && self.streams.errors.is_none()) || self.afterwards > AFTERWARDS {
            return true;
        }
        if self.credit == 0 || now.saturating_duration_since(last) < SILENCE {
            return false;
        }
        // Output that was not read for want of credit, or because the port is congested, is no silence.
        let has_output = self.has_output();
        if has_output {
            self.last_activity = Some(now);
        }
        !has_output
    }

    /// Whether its streams have bytes to read.
    fn has_output(&self) -> bool {
        let streams = [&self.streams.output, &self.streams.errors];
        let mut fds: Vec<_> =
            streams.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
            && fds.iter().any(|fd| fd.revents().contains(PollFlags::IN))
    }

    /// How it ended.
    pub(super) fn ended(&mut self) -> Ended {
        let status = self.status;
        Ended {
            code: status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()),
            signal: status.and_then(|status| status.signal()),
            timed_out: self.timed_out,
            error: None,
        }
    }

    /// Sends a signal to its process group, which is the first of its session.
    pub(super) fn signal(&mut self, number: u32) {
        let signal = i32::try_from(number).ok().and_then(Signal::from_named_raw);
        if let (None, Some(signal)) = (self.status, signal) {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    pub(super) fn resize(&mut self, rows: u16, columns: u16) {
        if let (true, Some(terminal)) = (self.streams.is_terminal, &self.streams.output) {
            let _ = tcsetwinsize(terminal, window_size(rows, columns));
        }
    }

    /// Kills it and everything that it started.
    pub(super) fn kill(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        // Its PID is not reused before it was waited for.
        if self.status.is_none() {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.kill();
        }
    }
}

pub(super) fn window_size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
