//! What a machine's network card is connected to, and what its QEMU may do.

use camino::Utf8PathBuf;
use rave_net::Policy;

/// The other end of the card. QEMU opens no connection itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// The process that connects to [`super::Files::network_socket`] and receives the guest's frames. Before it
    /// connects and after it ends, the guest reaches nothing. That process also serves the forwarded ports.
    #[default]
    Stream,
    /// The process that owns the [`crate::Instance`], which also forwards the ports; the guest may reach what the
    /// policy allows.
    Own(Policy),
}

/// Restrictions for a QEMU that a guest may have taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fence {
    /// It can do whatever its user can.
    #[default]
    None,
    /// It can access the machine's own files and nothing else: no other file, no network, no process
    /// ([`crate::fence`]). It cannot start programs, change its user or raise its limits. The machine has no screen.
    Closed(Grants),
}

/// What a fenced QEMU may write in addition to the machine's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Files; missing ones are created empty.
    pub files: Vec<Utf8PathBuf>,
}
