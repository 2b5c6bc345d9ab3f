//! How a clone of a template gets an identity of its own.
//!
//! A template's guest stops at a barrier before anything that holds a secret has started. The host tells it to
//! [`Hold`](super::message::Request::Hold), and saves it. To each clone the host sends an [`Identity`]; what the guest made of it
//! comes back as a [`Receipt`], and only then does the host say [`Open`](super::message::Request::Open). A machine that runs is
//! held in the same way to be forked: the one that was saved is told to open, and each fork gets an identity first.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::provision::Provision;

/// Bytes of entropy that a host sends: as many as seed the kernel's generator (`BLAKE2S_HASH_SIZE` of drivers/char/random.c),
/// twice.
pub const ENTROPY: usize = 64;

/// What a clone is from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Bytes of the host's generator, at least [`ENTROPY`].
    pub entropy: Vec<u8>,
    /// 32 hexadecimal digits, machine-id(5).
    pub machine_id: String,
    /// The static host name.
    pub host_name: String,
    /// The host's clock, ms since 1970.
    pub time_ms: u64,
    /// Who is let in by SSH, sshd(8); empty for nobody.
    #[serde(default)]
    pub authorized_keys: String,
    /// What programs find from the first one on.
    #[serde(default)]
    pub provision: Provision,
}

/// Without the entropy.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine_id, host_name, time_ms, .. } = self;
        write!(f, "Identity({machine_id}, {host_name}, {time_ms} ms)")
    }
}

/// What was renewed. One line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was renewed, in the order in which it was.
    pub renewed: Vec<String>,
    /// The machine's id as it is now.
    pub machine_id: String,
    /// The host name as it is now.
    pub host_name: String,
    /// The SSH server's new ed25519 key: type and key.
    pub host_key: String,
    /// How far the clock was behind the host's, ms.
    pub clock_behind_ms: i64,
    /// The guest's clock when the receipt was written, ms since 1970.
    pub time_ms: u64,
}

/// What a guest does at its barrier, that of a template or one that it is stopped at to be forked. An error is told to the host, and nothing is let on.
pub trait Barrier: fmt::Debug + Send {
    /// Warms what starts after the barrier, and stops everything else, so that the machine can be saved.
    fn hold(&mut self) -> Result<(), String>;
    /// Renews what a machine has of its own.
    fn renew(&mut self, identity: &Identity) -> Result<Receipt, String>;
    /// Lets everything go on.
    fn open(&mut self) -> Result<(), String>;
}
