//! How a process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code, 0 for success.
    Code(i32),
    /// It was killed by the signal with this number.
    Signal(i32),
}

impl Status {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Whether the process crashed: it was killed by a signal that its own fault raises, or that the kernel sends when
    /// memory runs out. A process that was asked to stop (SIGTERM, SIGHUP, SIGINT, SIGPIPE) did not crash.
    pub fn is_crash(self) -> bool {
        const CRASHES: [Signal; 8] = [
            Signal::ILL,
            Signal::TRAP,
            Signal::ABORT,
            Signal::BUS,
            Signal::FPE,
            Signal::KILL,
            Signal::SEGV,
            Signal::SYS,
        ];
        matches!(self, Self::Signal(number) if CRASHES.iter().any(|signal| signal.as_raw() == number))
    }

    /// The exit code as a shell reports it: a signal counts as 128 plus its number.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(number)) => Self::Signal(number),
            (None, None) => unreachable!("wait without WUNTRACED reports only ended processes"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// The names of signals, signal(7), that a failing program is likely to die from.
fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 15] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    NAMES.iter().find(|(signal, _)| signal.as_raw() == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_not_a_requested_end() {
        for signal in [Signal::ILL, Signal::TRAP, Signal::ABORT, Signal::SEGV, Signal::KILL] {
            assert!(Status::Signal(signal.as_raw()).is_crash(), "{signal:?}");
        }
        for status in [Status::Code(0), Status::Code(139), Status::Signal(Signal::TERM.as_raw())] {
            assert!(!status.is_crash(), "{status}");
        }
    }
}
