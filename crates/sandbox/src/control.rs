//! Messages between commands and the supervisor of a sandbox: a line of JSON each way on a socket of mode 0600 in a
//! folder of mode 0700. After the answer to an [`Order::Exec`], frames of the guest's channel follow
//! ([`rave_guest::channel::frame`]).

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_audit::Event;
use rave_guest::channel::MAX_REQUEST;
use rave_guest::channel::message::Exec;
use rave_vm::ports::PortForward;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::SandboxName;
use crate::network::{Change, NetworkStatus};
use crate::place::Place;

/// The longest line, bytes.
const LINE: usize = MAX_REQUEST + 1024 * 1024;

/// How often somebody who waits without a limit is asked whether to go on.
const CHECK: Duration = Duration::from_millis(100);

/// How long a supervisor may take to answer from what it already knows.
pub const ANSWER: Duration = Duration::from_secs(10);

/// A request of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Report the status.
    Status,
    /// Shut down cleanly; the answer is sent when the machine has ended.
    Stop {
        /// How long the guest may take, ms; after that it is killed.
        grace_ms: u64,
        /// When the changes of its workspace were fetched for this, seconds since 1970.
        #[serde(default)]
        fetched: Option<u64>,
    },
    /// Run a program; waits until the guest can run programs.
    Exec(Box<Exec>),
    /// Save the machine at this moment in a folder that does not exist yet.
    Freeze {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// Change what it may reach, or only report it.
    Network(Box<Change>),
    /// Record what a command did.
    Note(Box<Event>),
    /// Write pending events of the record now.
    Record,
}

/// The answer of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The status.
    Status(Box<Status>),
    /// The machine has ended.
    Stopped {
        /// How it ended.
        how: EndKind,
    },
    /// Frames follow.
    Exec,
    /// The machine was saved and continues.
    Frozen {
        /// How long it was paused, ms.
        stood_ms: u64,
    },
    /// What it may reach, after the change.
    Network(Box<NetworkStatus>),
    /// The event is recorded, or pending events are written as far as possible.
    Noted,
    /// The request is refused.
    Refused {
        /// The reason.
        why: String,
    },
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// The guest powered itself off.
    PoweredOff,
    /// It was killed.
    Ended,
    /// QEMU ended unexpectedly.
    Died,
}

/// The status of a running sandbox, according to its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The supervisor's process id.
    pub supervisor: u32,
    /// QEMU's process id.
    pub qemu: u32,
    /// What it was started from.
    #[serde(default)]
    pub origin: Origin,
    /// When this boot began, or the supervisor attached, seconds since 1970.
    pub since: u64,
    /// The stage that the boot has reached.
    pub stage: String,
    /// Whether programs can be run.
    pub can_exec: bool,
    /// Every service of the guest is ready.
    pub is_ready: bool,
    /// Why the guest will not become ready without help. Text from the guest.
    pub failure: Option<String>,
    /// The SSH server's public keys, once the guest has reported them. Text from the guest.
    pub host_keys: Vec<String>,
    /// The forwards to its services.
    pub forwards: Vec<PortForward>,
    /// The names of services that have not yet reported that they respond: connections to their ports are refused.
    #[serde(default)]
    pub starting: Vec<String>,
    /// How the guest's clock was last set after it had been stopped; for a new clone see [`crate::Identity`].
    #[serde(default)]
    pub clock: Option<ClockReport>,
    /// The number of running programs.
    pub running: usize,
    /// When a program last started or ended, seconds since 1970.
    pub last_use: u64,
    /// Whether the machine is paused because the host's disk is full; it continues once there is space.
    #[serde(default)]
    pub lacks_space: bool,
    /// Why its record cannot be written; while that is so, its network is halted.
    #[serde(default)]
    pub record_failure: Option<String>,
}

/// The result of setting a guest's clock while it was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReport {
    /// When, seconds since 1970.
    pub at: u64,
    /// How far it had been behind the host's clock, ms. A number from the guest.
    pub behind_ms: i64,
    /// How far it was behind afterwards, at most, ms.
    pub behind_after_ms: i64,
}

/// What a machine was started from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It booted from its disk, or was found running.
    #[default]
    Disk,
    /// It is a clone of a template.
    Template,
    /// It was resumed from a moment: its own, or that of the sandbox it was forked from.
    Moment,
    /// It should have been cloned from a template or resumed from a moment, but was booted from its disk.
    DiskInstead {
        /// The reason.
        why: String,
    },
}

impl EndKind {
    /// The description for records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PoweredOff => "powered off",
            Self::Ended => "ended by force",
            Self::Died => "died",
        }
    }
}

impl Origin {
    /// The description for records.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Disk => "its disk",
            Self::Template => "a template",
            Self::Moment => "a moment",
            Self::DiskInstead { .. } => "its disk instead of a template or a moment",
        }
    }
}

/// A connection to the supervisor of a sandbox.
#[derive(Debug)]
pub struct Connection {
    pub(crate) stream: UnixStream,
    place: Place,
}

impl Connection {
    /// Connects; `None` if no supervisor listens: the kernel refuses connections to a socket whose process is gone
    /// (unix(7)).
    pub fn open(place: &Place) -> Option<Self> {
        let stream = UnixStream::connect(place.control_socket()).ok()?;
        Some(Self { stream, place: place.clone() })
    }

    #[cfg(test)]
    pub(crate) fn of(stream: UnixStream, place: Place) -> Self {
        Self { stream, place }
    }

    /// The sandbox.
    pub fn name(&self) -> &SandboxName {
        self.place.name()
    }

    /// Sends a request and waits for the answer, at most for `limit`.
    pub fn order(&mut self, order: &Order, limit: Option<Duration>) -> Result<Answer, Error> {
        let failed = |source| Error::Supervisor { name: self.place.name().clone(), source };
        self.stream.set_read_timeout(limit).map_err(failed)?;
        write_line(&mut self.stream, order).map_err(failed)?;
        match read_line(&self.stream).map_err(failed)? {
            Answer::Refused { why } => Err(Error::Refused { name: self.place.name().clone(), why }),
            answer => Ok(answer),
        }
    }

    /// The same without a time limit, as long as `may_wait` returns true, which is called ten times per second.
    pub fn order_while(
        &mut self,
        order: &Order,
        may_wait: &mut dyn FnMut() -> bool,
    ) -> Result<Answer, Error> {
        let failed = |source| Error::Supervisor { name: self.place.name().clone(), source };
        self.stream.set_read_timeout(Some(CHECK)).map_err(failed)?;
        write_line(&mut self.stream, order).map_err(failed)?;
        match read_line_while(&self.stream, may_wait).map_err(failed)? {
            Answer::Refused { why } => Err(Error::Refused { name: self.place.name().clone(), why }),
            answer => Ok(answer),
        }
    }

    /// The status of the sandbox.
    pub fn status(&mut self) -> Result<Status, Error> {
        match self.order(&Order::Status, Some(ANSWER))? {
            Answer::Status(status) => Ok(*status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Changes what the sandbox may reach, or only queries it.
    pub fn network(&mut self, change: Change) -> Result<NetworkStatus, Error> {
        match self.order(&Order::Network(Box::new(change)), Some(ANSWER))? {
            Answer::Network(status) => Ok(*status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Saves the machine at this moment in `folder`; returns how long it was paused.
    pub(crate) fn freeze(&mut self, folder: &Utf8Path) -> Result<Duration, Error> {
        match self.order(&Order::Freeze { folder: folder.to_owned() }, None)? {
            Answer::Frozen { stood_ms } => Ok(Duration::from_millis(stood_ms)),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(crate) fn unexpected(&self, answer: &Answer) -> Error {
        Error::Refused { name: self.place.name().clone(), why: format!("unexpected answer: {answer:?}") }
    }
}

pub(crate) fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Reads a line, and no byte beyond it, because frames may follow.
pub(crate) fn read_line<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    read_line_while(stream, &mut || false)
}

/// The same; `may_wait` is called whenever the read timeout of the stream expires.
fn read_line_while<T: DeserializeOwned>(
    mut stream: &UnixStream,
    may_wait: &mut dyn FnMut() -> bool,
) -> io::Result<T> {
    let (mut line, mut ahead) = (Vec::new(), [0; 4096]);
    loop {
        let count = match recv(stream, &mut ahead, RecvFlags::PEEK) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => count,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) if may_wait() => continue,
            Err(error) => return Err(error.into()),
        };
        let end = ahead[..count].iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(count, |end| end + 1);
        stream.read_exact(&mut ahead[..taken])?;
        line.extend_from_slice(&ahead[..end.unwrap_or(count)]);
        if line.len() > LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an endless line"));
        }
        if end.is_some() {
            return serde_json::from_slice(&line).map_err(Into::into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_read_only_to_its_end() {
        let (mut host, mut other) = UnixStream::pair().unwrap();
        write_line(&mut other, &Order::Stop { grace_ms: 5, fetched: None }).unwrap();
        other.write_all(b"frames").unwrap();
        assert_eq!(read_line::<Order>(&host).unwrap(), Order::Stop { grace_ms: 5, fetched: None });
        let mut rest = [0; 6];
        host.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"frames");
    }

    #[test]
    fn an_endless_line_is_discarded() {
        let (host, mut other) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || io::copy(&mut io::repeat(b' '), &mut other));
        let error = read_line::<Order>(&host).unwrap_err();
        assert_eq!(error.to_string(), "an endless line");
        drop(host);
        assert!(writer.join().unwrap().is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_handled_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            bytes.push(b'\n');
            let (host, mut other) = UnixStream::pair().unwrap();
            other.write_all(&[&bytes[..], &bytes].concat()).unwrap();
            drop(other);
            let _ = read_line::<Order>(&host);
            let _ = read_line::<Answer>(&host);
        }
    }
}
