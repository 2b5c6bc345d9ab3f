//! A started process and its group, until it is reaped.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
#[expect(clippy::disallowed_types, reason = "this crate is the one that spawns")]
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::Status;
use crate::registry::{self, OnInterrupt, Target};

/// Which process group a command runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// A new group of its own.
    OwnGroup,
    /// Our group, in the terminal's foreground.
    Foreground,
}

/// A started process. If it is dropped before it was reaped, it is killed with its group.
pub(crate) struct ProcessGroup {
    child: Child,
    pidfd: OwnedFd,
    target: Target,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Running,
    Reaped(Status),
    Released,
}

impl ProcessGroup {
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub(crate) fn start(
        command: &mut Command,
        placement: Placement,
        on_interrupt: OnInterrupt,
    ) -> io::Result<Self> {
        registry::prepare()?;
        if placement == Placement::OwnGroup {
            command.process_group(0);
        }
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let target = match placement {
            Placement::OwnGroup => Target::Group(pid),
            Placement::Foreground => Target::Process(pid),
        };
        let announced =
            registry::add(target, on_interrupt).and_then(|()| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        match announced {
            Ok(pidfd) => Ok(Self { child, pidfd, target, state: State::Running }),
            Err(error) => {
                registry::signal(target, Signal::KILL);
                registry::remove(target);
                child.wait()?;
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Becomes readable when the process has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(crate) fn take_pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// Sends `signal` to the whole group.
    pub(crate) fn signal(&self, signal: Signal) {
        if matches!(self.state, State::Running) {
            registry::signal(self.target, signal);
        }
    }

    /// How the process ended, if it has; it is not reaped, so that its process id is not reused.
    pub(crate) fn ended(&self) -> io::Result<Option<Status>> {
        if let State::Reaped(status) = self.state {
            return Ok(Some(status));
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::PidFd(self.pidfd()), options)?;
        Ok(ended.and_then(|ended| {
            let code = ended.exit_status().map(Status::Code);
            code.or_else(|| ended.terminating_signal().map(Status::Signal))
        }))
    }

    /// Kills what an ended process left in its group.
    pub(crate) fn sweep(&self) {
        if matches!(self.target, Target::Group(_)) {
            self.signal(Signal::KILL);
        }
    }

    /// Waits for the process, kills what it left in its group and returns its status.
    pub(crate) fn reap(&mut self) -> io::Result<Status> {
        if let State::Reaped(status) = self.state {
            return Ok(status);
        }
        self.wait_ended(None)?;
        self.sweep();
        registry::remove(self.target);
        let status = Status::from(self.child.wait()?);
        self.state = State::Reaped(status);
        Ok(status)
    }

    /// Waits until the process has ended, at most for `limit`; returns whether it has.
    pub(crate) fn wait_ended(&self, limit: Option<Duration>) -> io::Result<bool> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        while self.ended()?.is_none() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            poll_some(&mut [PollFd::from_borrowed_fd(self.pidfd(), PollFlags::IN)], left)?;
        }
        Ok(true)
    }

    /// Lets the process run on its own.
    pub(crate) fn release(mut self) -> u32 {
        registry::remove(self.target);
        self.state = State::Released;
        self.pid()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if matches!(self.state, State::Running) {
            self.signal(Signal::KILL);
            // There is nowhere to report to: a value is dropped early because of an error.
            let _ = self.reap();
        }
    }
}

/// poll(2) that ignores signals: the caller checks again.
pub(crate) fn poll_some(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    // A time that does not fit is practically forever.
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(fds, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
