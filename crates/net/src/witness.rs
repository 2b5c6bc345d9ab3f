//! What is told of a sandbox's network as it happens, to whoever keeps a record.

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
    /// A datagram: there is no UDP.
    Udp,
    /// What a browser of the host asked of a page of the guest.
    Page,
}

/// Something that happened. Texts may come from the guest, and are at most as long as a name and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A connection has both its ends.
    Opened {
        /// The guest began it; otherwise it came to a forwarded port.
        from_guest: bool,
        /// Name or address, and port.
        to: String,
        /// The rule that allowed it.
        rule: String,
    },
    /// It ended.
    Closed {
        /// The guest began it.
        from_guest: bool,
        /// Name or address, and port.
        to: String,
        /// Bytes that the guest sent and the other end took.
        sent: u64,
        /// Bytes of the other end.
        received: u64,
    },
    /// Something was refused.
    Denied {
        /// What.
        kind: Kind,
        /// Where to.
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
    /// The guest was told the address of a name.
    Question {
        /// The name.
        name: String,
        /// The rule that allowed it.
        rule: String,
    },
}

/// Whoever keeps the record.
pub trait Witness: Send + Sync {
    /// Takes note; called by the thread that moves packets, so it must not wait.
    fn see(&self, seen: Seen);
    /// Whether notes are kept. While they are not, the network stands still.
    fn can_record(&self) -> bool;
}

/// Keeps nothing, for networks without a record.
#[derive(Debug)]
pub struct Nobody;

impl Witness for Nobody {
    fn see(&self, _: Seen) {}

    fn can_record(&self) -> bool {
        true
    }
}

/// A witness that many have.
#[derive(Clone)]
pub(crate) struct Told(pub(crate) Arc<dyn Witness>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// A connection as the witness knows it: told of when it is made, and with its bytes when it is dropped, however it ended.
pub(crate) struct Trace {
    told: Told,
    from_guest: bool,
    to: String,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Trace {
    pub(crate) fn open(told: Told, from_guest: bool, to: String, rule: String) -> Self {
        told.0.see(Seen::Opened { from_guest, to: to.clone(), rule });
        Self { told, from_guest, to, sent: 0, received: 0 }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Self { told, from_guest, to, sent, received } = self;
        let to = std::mem::take(to);
        told.0.see(Seen::Closed { from_guest: *from_guest, to, sent: *sent, received: *received });
    }
}
