//! Errors of virtual machines, with the facts and a remedy.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Status;

use crate::accel::KvmState;
use crate::boot::{BootFailure, Cause};
use crate::ports::PortTaken;
use crate::qemu::QemuVersion;

/// signal(7).
const SIGBUS: i32 = 7;
/// ENOSPC in the words of strerror(3), which programs print.
const FULL: &str = "No space left on device";

/// How QEMU's control socket failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QmpFault {
    /// QEMU cannot do it, or its answer cannot be understood.
    Refused,
    /// No answer came in time.
    Silent,
    /// QEMU closed the connection, or nothing listens.
    Lost,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU or one of its tools is not installed.
    #[error("{program}: not found on PATH")]
    QemuMissing {
        /// The program that was looked for.
        program: String,
    },
    /// The program called QEMU does not print a QEMU version.
    #[error("{program} --version prints {printed:?}, which is not a QEMU version")]
    QemuUnknown {
        /// The program.
        program: Utf8PathBuf,
        /// The first line it printed.
        printed: String,
    },
    /// QEMU is too old.
    #[error("{program} is QEMU {found}; {needed} or newer is required")]
    QemuTooOld {
        /// The program.
        program: Utf8PathBuf,
        /// Its version.
        found: QemuVersion,
        /// The oldest supported version.
        needed: QemuVersion,
    },
    /// There is no UEFI firmware for the machine.
    #[error(
        "no UEFI firmware was found\n  looked for {}",
        .looked_for.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
    )]
    FirmwareMissing {
        /// The files that were looked for.
        looked_for: Vec<Utf8PathBuf>,
    },
    /// KVM was requested but does not work.
    #[error("kvm was requested but cannot be used: {state}")]
    KvmUnusable {
        /// The reason.
        state: KvmState,
    },
    /// Even software emulation ran no guest.
    #[error("QEMU cannot run a guest under software emulation: {why}\n  command: {command}")]
    TcgUnusable {
        /// QEMU's command line.
        command: String,
        /// What happened instead, with QEMU's last lines.
        why: String,
    },
    /// A host port is not free.
    #[error(transparent)]
    PortTaken(#[from] PortTaken),
    /// The machine's value contradicts itself or is not possible on this host.
    #[error("cannot create the machine {name}: {why}")]
    BadMachine {
        /// The machine's name.
        name: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// Another process runs a machine of this name.
    #[error("the machine {name} is already running{}", as_process(.pid.as_ref()))]
    AlreadyRunning {
        /// The machine's name.
        name: String,
        /// QEMU's process id, once it has one.
        pid: Option<u32>,
    },
    /// QEMU ended, and not because its guest powered off.
    #[error("QEMU ended: {status}{}\n  command: {command}", lines(.tail))]
    QemuDied {
        /// QEMU's command line.
        command: String,
        /// Its exit status.
        status: Status,
        /// Its last lines.
        tail: Vec<String>,
    },
    /// QEMU's control socket does not answer as it should.
    #[error("QEMU's control socket: {doing}: {why}\n  socket: {socket}")]
    Qmp {
        /// What was being done.
        doing: String,
        /// What came instead of an answer.
        why: String,
        /// The socket.
        socket: Utf8PathBuf,
        /// The kind of fault.
        fault: QmpFault,
    },
    /// The guest's `rave-guest` is too old to pause a running machine for a snapshot.
    #[error("its image is older than this version of RAVE, and cannot be saved while it runs")]
    GuestTooOld,
    /// The host's disk is full.
    #[error(
        "cannot {doing}: the disk of {folder} is full, {} MiB are free and {} MiB are needed",
        .free >> 20,
        .needed >> 20
    )]
    NoSpace {
        /// What needs the space.
        doing: &'static str,
        /// The folder.
        folder: Utf8PathBuf,
        /// The free space, bytes.
        free: u64,
        /// The space that may be needed, bytes.
        needed: u64,
    },
    /// The guest cannot be reached by SSH, or ssh itself failed.
    #[error("ssh to {host}:{port} failed{}\n  command: {command}", lines(.tail))]
    Ssh {
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// The command line.
        command: String,
        /// The last lines that ssh printed.
        tail: Vec<String>,
    },
    /// The guest did not become ready.
    #[error(transparent)]
    Boot(#[from] Box<BootFailure>),
    /// An operation on the guest took too long.
    #[error("{doing} took longer than {} s\n  command: {command}", .after.as_secs_f64())]
    TooSlow {
        /// What was being done.
        doing: String,
        /// The time it was given.
        after: Duration,
        /// The command line.
        command: String,
    },
    /// A host process could not be run.
    #[error("{doing}: {source}")]
    Process {
        /// What was being done.
        doing: &'static str,
        /// The error.
        source: Box<rave_process::Error>,
    },
    /// Ctrl-C, SIGTERM or SIGHUP.
    #[error(transparent)]
    Interrupted(#[from] rave_process::interrupt::Interrupted),
    /// A file of the run could not be read or written.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was being done: `read`, `write`.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The system's folder for temporary files has a name that is not UTF-8.
    #[error("the folder for temporary files has a name that is not UTF-8")]
    TemporaryFolderName,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Utf8Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// Wraps an error of a host process; an interrupt stays an interrupt.
    pub(crate) fn process(doing: &'static str) -> impl Fn(rave_process::Error) -> Self {
        move |error| match error {
            rave_process::Error::Interrupted { signal, .. } => {
                Self::Interrupted(rave_process::interrupt::Interrupted { signal })
            }
            other => Self::Process { doing, source: Box::new(other) },
        }
    }

    /// What to do next, if a remedy is known.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::QemuMissing { .. } => {
                "install QEMU: `cargo xtask doctor --yes`, or apt-get install qemu-system-x86 qemu-utils"
            }
            Self::QemuUnknown { .. } => "fix PATH, or install QEMU: cargo xtask doctor --yes",
            Self::QemuTooOld { .. } => "upgrade it: `cargo xtask doctor --yes` does so, or prints how",
            Self::FirmwareMissing { .. } => {
                "install it (apt-get install ovmf, dnf install edk2-ovmf), or boot with --firmware bios"
            }
            Self::TcgUnusable { .. } => "reinstall QEMU, and look at this host's load and memory",
            Self::AlreadyRunning { pid: Some(pid), .. } => return Some(format!("stop it: kill {pid}")),
            Self::GuestTooOld => "stop it first",
            Self::NoSpace { .. } => {
                "free some: `cargo xtask prune` removes stopped sandboxes; or use another state folder: RAVE_STATE=DIR"
            }
            Self::TemporaryFolderName => "set TMPDIR to another folder",
            Self::QemuDied { tail, .. } if contains(tail, "cannot set up guest memory") => {
                "this host has too little free memory: give the machine less (--memory)"
            }
            Self::QemuDied { tail, .. } if contains(tail, "Failed to get \"write\" lock") => {
                "another machine uses this disk: stop it, or run without --keep"
            }
            Self::KvmUnusable { state } => return state.remedy(),
            Self::PortTaken(taken) => return Some(taken.remedy()),
            Self::Boot(failure) => return Some(failure.remedy()),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Whether another attempt may succeed: something was slow, or a connection was lost.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Qmp { fault, .. } => *fault != QmpFault::Refused,
            Self::QemuDied { .. } | Self::TooSlow { .. } => true,
            Self::Io { source, .. } => is_transient(source.kind()),
            _ => false,
        }
    }

    /// Whether the host's disk is full. A QEMU whose memory is a file is killed by SIGBUS if the file cannot grow.
    pub fn is_of_full_disk(&self) -> bool {
        let died = |status: &Status| *status == Status::Signal(SIGBUS);
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => true,
            Self::QemuDied { status, .. } if died(status) => true,
            Self::Boot(failure) if matches!(&failure.cause, Cause::QemuDied { status, .. } if died(status)) => {
                true
            }
            other => other.to_string().contains(FULL),
        }
    }

    /// Whether the user or the system asked this process to stop.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }
}

/// The same for an error of a connection.
pub fn is_transient(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, TimedOut, UnexpectedEof, WouldBlock};
    matches!(kind, BrokenPipe | ConnectionReset | NotConnected | TimedOut | UnexpectedEof | WouldBlock)
}

/// The last lines of a program, as the end of a message.
pub(crate) fn lines(tail: &[String]) -> String {
    if tail.is_empty() {
        return "\n  it printed nothing".to_owned();
    }
    tail.iter().map(|line| format!("\n  {line}")).collect::<Vec<_>>().concat()
}

fn as_process(pid: Option<&u32>) -> String {
    pid.map(|pid| format!(" as process {pid}")).unwrap_or_default()
}

fn contains(tail: &[String], words: &str) -> bool {
    tail.iter().any(|line| line.contains(words))
}
