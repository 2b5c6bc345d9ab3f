//! How a clone of a template gets its own identity.
//!
//! A template's guest stops at a barrier before anything with a secret has started. The host sends
//! [`Hold`](super::message::Request::Hold), and saves the machine. The host then sends an [`Identity`] to each clone,
//! which answers with a [`Receipt`]; only then does the host send [`Open`](super::message::Request::Open). A running
//! machine is held in the same way to be forked: the machine itself is opened again, while each fork gets an identity
//! first.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::provision::Provision;

/// Bytes of entropy from the host: twice as many as seed the kernel's generator (`BLAKE2S_HASH_SIZE` of
/// drivers/char/random.c).
pub const ENTROPY: usize = 64;

/// The identity of a clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Random bytes from the host, at least [`ENTROPY`].
    pub entropy: Vec<u8>,
    /// The machine ID: 32 hexadecimal digits, machine-id(5).
    pub machine_id: String,
    /// The static host name.
    pub host_name: String,
    /// The host's time, in ms since 1970.
    pub time_ms: u64,
    /// The SSH keys that may log in, sshd(8); empty for none.
    #[serde(default)]
    pub authorized_keys: String,
    /// What programs find from the start.
    #[serde(default)]
    pub provision: Provision,
}

/// Omits the entropy.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine_id, host_name, time_ms, .. } = self;
        write!(f, "Identity({machine_id}, {host_name}, {time_ms} ms)")
    }
}

/// What was renewed. One line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The names of what was renewed, in that order.
    pub renewed: Vec<String>,
    /// The new machine ID.
    pub machine_id: String,
    /// The new host name.
    pub host_name: String,
    /// The SSH server's new ed25519 key: type and key.
    pub host_key: String,
    /// How far the clock was behind the host's, in ms.
    pub clock_behind_ms: i64,
    /// The guest's time when the receipt was written, in ms since 1970.
    pub time_ms: u64,
}

/// The operations of a guest at its barrier: that of a template, or one at which it is stopped to be forked. An error
/// is reported to the host, and nothing resumes.
pub trait Barrier: fmt::Debug + Send {
    /// Warms what starts after the barrier, and stops everything else, so that the machine can be saved.
    fn hold(&mut self) -> Result<(), String>;
    /// Renews the machine's identity.
    fn renew(&mut self, identity: &Identity) -> Result<Receipt, String>;
    /// Resumes everything.
    fn open(&mut self) -> Result<(), String>;
}
