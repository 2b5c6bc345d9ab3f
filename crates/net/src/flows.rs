//! The connections of a sandbox: their number is bounded, and each has a time at which it is due.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use smoltcp::time::Instant;

use crate::flow::Flow;
use crate::gate::Gate;
use crate::inspected::Target;
use crate::policy::Destination;

/// The largest number of connections that the guest made, including those being made.
pub(crate) const MOST_OUT: usize = 448;
/// The largest number of connections to the guest.
pub(crate) const MOST_IN: usize = 128;
/// The number of connections with large buffers.
const LARGE: usize = 96;
/// Bytes of a buffer; a connection has two.
const LARGE_BUFFER: usize = 64 * 1024;
const SMALL_BUFFER: usize = 16 * 1024;

/// The other end's address and port as the guest sees them, and the guest's port.
pub(crate) type Key = (Ipv4Addr, u16, u16);

/// A connection and its bookkeeping.
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) state: State,
    /// The guest's destination; nothing if the host made the connection.
    pub(crate) to: Option<Destination>,
    /// Events of the host's socket that the poller waits for: reading, writing.
    pub(crate) asked: (bool, bool),
    due: Option<Instant>,
}

/// The state of a connection.
pub(crate) enum State {
    /// The host is connecting; the guest's first packet waits.
    Dialing { first: Vec<u8>, gate: Gate, rule: String, inspected: Option<Target> },
    /// Both ends are open.
    Live(Box<Flow>),
}

#[derive(Default)]
pub(crate) struct Flows {
    entries: HashMap<u64, Entry>,
    by_key: HashMap<Key, u64>,
    due: BTreeSet<(Instant, u64)>,
    next: u64,
    out: usize,
}

impl Flows {
    pub(crate) fn find(&self, key: Key) -> Option<u64> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn get(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    pub(crate) fn is_full(&self, from_guest: bool) -> bool {
        if from_guest { self.out >= MOST_OUT } else { self.entries.len() - self.out >= MOST_IN }
    }

    /// The buffer size for one more connection.
    pub(crate) fn buffer(&self) -> usize {
        if self.entries.len() < LARGE { LARGE_BUFFER } else { SMALL_BUFFER }
    }

    pub(crate) fn add(&mut self, key: Key, state: State, to: Option<Destination>) -> u64 {
        self.next += 1;
        self.out += usize::from(to.is_some());
        self.by_key.insert(key, self.next);
        self.entries.insert(self.next, Entry { key, state, to, asked: (false, false), due: None });
        self.next
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.out -= usize::from(entry.to.is_some());
        self.by_key.remove(&entry.key);
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
        Some(entry)
    }

    /// Sets the time at which a connection is due.
    pub(crate) fn set_due(&mut self, id: u64, due: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(earlier) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(earlier, id));
        }
        if let Some(due) = due {
            self.due.insert((due, id));
        }
    }

    /// Takes a connection that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<u64> {
        let (due, id) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.set_due(id, None);
        Some(id)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }
}
