//! What a machine's network card is connected to, and what its QEMU may do.

use camino::Utf8PathBuf;
use rave_net::Policy;

/// The other end of the card. QEMU opens no connection itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// The process that connects to [`super::Files::network_socket`] and takes the guest's frames. Without one, and after its
    /// end, the guest reaches nothing. Forwarded ports are that process's own.
    #[default]
    Stream,
    /// The process that has the [`crate::Instance`], which forwards the ports as well; the guest may reach what the policy allows.
    Own(Policy),
}

/// What a QEMU that a guest took over cannot do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fence {
    /// It can do whatever its user can.
    #[default]
    None,
    /// It reaches the machine's own files and nothing else: no other file, no network, no process ([`crate::fence`]). It starts no
    /// program, changes no user and lifts no limit. The machine has no screen.
    Closed(Grants),
}

/// What a fenced QEMU may write beside the machine's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Files; they are made empty where they are missing.
    pub files: Vec<Utf8PathBuf>,
}
