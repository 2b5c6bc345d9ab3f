//! What commands and the supervisor of a sandbox say to each other: a line of JSON each way on a socket of mode 0600 in a folder
//! of mode 0700. After the answer to an [`Order::Exec`] follow frames of the guest's channel ([`rave_guest::channel::frame`]).

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_audit::Event;
use rave_guest::channel::MAX_REQUEST;
use rave_guest::channel::message::Exec;
use rave_vm::ports::PortForward;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::SandboxName;
use crate::network::{Change, NetworkStatus};
use crate::place::Place;

/// The longest line, bytes.
const LINE: usize = MAX_REQUEST + 1024 * 1024;

/// How long a supervisor may take to answer what it knows already.
pub const ANSWER: Duration = Duration::from_secs(10);

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// How it is.
    Status,
    /// Power off in order; the answer comes when the machine has ended.
    Stop {
        /// How long the guest may take, ms; it is ended then.
        grace_ms: u64,
    },
    /// Run a program; waits for the guest to be far enough.
    Exec(Box<Exec>),
    /// Save the machine at this moment in a folder that is not there yet.
    Freeze {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// Change what it may reach, or only tell.
    Network(Box<Change>),
    /// Record what a command did.
    Note(Box<Event>),
    /// Write what is to be recorded now.
    Record,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How it is.
    Status(Box<Status>),
    /// The machine has ended.
    Stopped {
        /// How.
        how: EndKind,
    },
    /// Frames follow.
    Exec,
    /// The machine was saved and goes on.
    Frozen {
        /// How long it stood, ms.
        stood_ms: u64,
    },
    /// What it may reach, after the change.
    Network(Box<NetworkStatus>),
    /// It is noted, or written as far as it can be.
    Noted,
    /// It cannot be done.
    Refused {
        /// Why.
        why: String,
    },
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// The guest powered itself off.
    PoweredOff,
    /// It was ended by force.
    Ended,
    /// QEMU went away by itself.
    Died,
}

/// A running sandbox as its supervisor sees it.
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
    /// The stage that the boot is in.
    pub stage: String,
    /// Programs can be run.
    pub can_exec: bool,
    /// Every service of the guest is ready.
    pub is_ready: bool,
    /// Why the guest will not be ready without help. Text from the guest.
    pub failure: Option<String>,
    /// The SSH server's public keys, once the guest has announced them. Text from the guest.
    pub host_keys: Vec<String>,
    /// Where its services are.
    pub forwards: Vec<PortForward>,
    /// The names of services that have not said yet that they answer: a connection to their ports is refused.
    #[serde(default)]
    pub starting: Vec<String>,
    /// How the guest's clock was last set because it stood; of a clone's own see [`crate::Identity`].
    #[serde(default)]
    pub clock: Option<ClockReport>,
    /// Programs that run now.
    pub running: usize,
    /// When a program last began or ended, seconds since 1970.
    pub last_use: u64,
    /// It stands because the host's disk is full, and goes on once there is space.
    #[serde(default)]
    pub lacks_space: bool,
    /// Why its record cannot be written; its network stands still then.
    #[serde(default)]
    pub record_failure: Option<String>,
}

/// A guest's clock that was set while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReport {
    /// When, seconds since 1970.
    pub at: u64,
    /// How far it was behind the host's before, ms. A number from the guest.
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
    /// It goes on from a moment: of itself, or of the sandbox that it is a fork of.
    Moment,
    /// It should have been a clone, or have gone on from a moment, and booted.
    DiskInstead {
        /// Why.
        why: String,
    },
}

impl EndKind {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::PoweredOff => "powered off",
            Self::Ended => "ended by force",
            Self::Died => "died",
        }
    }
}

impl Origin {
    /// The word for it.
    pub(crate) fn word(&self) -> &'static str {
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
    /// Connects; nothing where no supervisor listens: the kernel refuses a socket whose process is gone (unix(7)).
    pub fn open(place: &Place) -> Option<Self> {
        let stream = UnixStream::connect(place.control_socket()).ok()?;
        Some(Self { stream, place: place.clone() })
    }

    /// The sandbox.
    pub fn name(&self) -> &SandboxName {
        self.place.name()
    }

    /// Gives an order and waits for the answer, at most for `limit`.
    pub fn order(&mut self, order: &Order, limit: Option<Duration>) -> Result<Answer, Error> {
        let failed = |source| Error::Supervisor { name: self.place.name().clone(), source };
        self.stream.set_read_timeout(limit).map_err(failed)?;
        write_line(&mut self.stream, order).map_err(failed)?;
        match read_line(&mut self.stream).map_err(failed)? {
            Answer::Refused { why } => Err(Error::Refused { name: self.place.name().clone(), why }),
            answer => Ok(answer),
        }
    }

    /// How the sandbox is.
    pub fn status(&mut self) -> Result<Status, Error> {
        match self.order(&Order::Status, Some(ANSWER))? {
            Answer::Status(status) => Ok(*status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Changes what the sandbox may reach, or only asks.
    pub fn network(&mut self, change: Change) -> Result<NetworkStatus, Error> {
        match self.order(&Order::Network(Box::new(change)), Some(ANSWER))? {
            Answer::Network(status) => Ok(*status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Saves the machine at this moment in `folder`; how long it stood.
    pub(crate) fn freeze(&mut self, folder: &Utf8Path) -> Result<Duration, Error> {
        match self.order(&Order::Freeze { folder: folder.to_owned() }, None)? {
            Answer::Frozen { stood_ms } => Ok(Duration::from_millis(stood_ms)),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(crate) fn unexpected(&self, answer: &Answer) -> Error {
        Error::Refused {
            name: self.place.name().clone(),
            why: format!("an answer to another order: {answer:?}"),
        }
    }
}

pub(crate) fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Reads a line, and no byte after it: frames may follow.
pub(crate) fn read_line<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte[0] == b'\n' => return serde_json::from_slice(&line).map_err(Into::into),
            Ok(_) if line.len() >= LINE => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an endless line"));
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_read_to_its_end_and_no_further() {
        let (mut host, mut other) = UnixStream::pair().unwrap();
        write_line(&mut other, &Order::Stop { grace_ms: 5 }).unwrap();
        other.write_all(b"frames").unwrap();
        assert_eq!(read_line::<Order>(&mut host).unwrap(), Order::Stop { grace_ms: 5 });
        let mut rest = [0; 6];
        host.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"frames");
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let error = read_line::<Order>(&mut io::repeat(b' ')).unwrap_err();
        assert_eq!(error.to_string(), "an endless line");
    }

    proptest! {
        #[test]
        fn any_line_is_taken_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            bytes.push(b'\n');
            let _ = read_line::<Order>(&mut bytes.as_slice());
            let _ = read_line::<Answer>(&mut bytes.as_slice());
        }
    }
}
