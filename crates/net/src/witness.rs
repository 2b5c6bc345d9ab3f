//! Reports what happens in a sandbox's network to a recorder.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The address of a name.
    Name,
    /// A connection.
    Connection,
    /// A TLS hello.
    Tls,
    /// An HTTP request.
    Http,
    /// A datagram: UDP is not supported.
    Udp,
    /// A browser's request to a page of the guest.
    Page,
}

/// Something that happened. Texts may come from the guest, and are at most as long as a name and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A connection was established on both sides.
    Opened {
        /// Whether the guest opened it; otherwise it came through a forwarded port.
        from_guest: bool,
        /// Name or address, and port.
        to: String,
        /// The rule that allowed it.
        rule: String,
    },
    /// A connection ended.
    Closed {
        /// Whether the guest opened it.
        from_guest: bool,
        /// Name or address, and port.
        to: String,
        /// Bytes that the guest sent and the other end accepted.
        sent: u64,
        /// Bytes that the guest received.
        received: u64,
    },
    /// Something was refused.
    Denied {
        /// The kind.
        kind: Kind,
        /// The destination.
        to: String,
        /// The rule that refused it.
        rule: String,
    },
    /// A secret of the user was put into a request.
    Secret {
        /// The secret's name.
        name: String,
        /// The host and its port.
        to: String,
    },
    /// The address of a name was sent to the guest.
    Question {
        /// The name.
        name: String,
        /// The rule that allowed it.
        rule: String,
    },
}

/// Keeps the record.
pub trait Witness: Send + Sync {
    /// Records something. The thread that moves packets calls it, so it must not block.
    fn see(&self, seen: Seen);
    /// Whether the record can be written. While it cannot, the network is halted.
    fn can_record(&self) -> bool;
}

/// Keeps no record, for networks without one.
#[derive(Debug)]
pub struct NoRecord;

impl Witness for NoRecord {
    fn see(&self, _: Seen) {}

    fn can_record(&self) -> bool {
        true
    }
}

/// A witness with many users.
#[derive(Clone)]
pub(crate) struct SharedWitness(pub(crate) Arc<dyn Witness>);

impl fmt::Debug for SharedWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedWitness")
    }
}

/// A connection that is reported when it is created and, with its byte counts, when it is dropped, however it ended.
pub(crate) struct Trace {
    witness: SharedWitness,
    from_guest: bool,
    to: String,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Trace {
    pub(crate) fn open(witness: SharedWitness, from_guest: bool, to: String, rule: String) -> Self {
        witness.0.see(Seen::Opened { from_guest, to: to.clone(), rule });
        Self { witness, from_guest, to, sent: 0, received: 0 }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Self { witness, from_guest, to, sent, received } = self;
        let to = std::mem::take(to);
        witness.0.see(Seen::Closed { from_guest: *from_guest, to, sent: *sent, received: *received });
    }
}
