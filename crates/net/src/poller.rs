//! Waits for sockets (epoll(7)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// The most events per call.
const EVENTS: usize = 256;

/// Sockets, each with a number that the caller chooses.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

/// The events to wait for at a socket: reading, writing.
pub(crate) type Interest = (bool, bool);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Changes the events to wait for. Without any, the peer's end is not reported either.
    pub(crate) fn change(
        &self,
        socket: impl AsFd,
        number: u64,
        was: Interest,
        wanted: Interest,
    ) -> io::Result<()> {
        let none = (false, false);
        if was == wanted {
            return Ok(());
        }
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN | EventFlags::RDHUP, wanted.0);
        flags.set(EventFlags::OUT, wanted.1);
        let data = EventData::new_u64(number);
        let changed = match (was == none, wanted == none) {
            (true, _) => epoll::add(&self.0, socket, data, flags),
            (_, true) => epoll::delete(&self.0, socket),
            _ => epoll::modify(&self.0, socket, data, flags),
        };
        Ok(changed?)
    }

    /// Waits for events, at most for `limit`. Sets `ready` to the numbers of sockets that have one.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut events = [MaybeUninit::uninit(); EVENTS];
        match epoll::wait(&self.0, &mut events, Some(&limit)) {
            Ok((events, _)) => ready.extend(events.iter().map(|event| event.data.u64())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
