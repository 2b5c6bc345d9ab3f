//! What a machine's network card is connected to, and what its QEMU may do.

/// The other end of the card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Link {
    /// QEMU's user network: the guest reaches whatever QEMU's process reaches, the host's loopback too.
    #[default]
    User,
    /// The process that connects to [`super::Files::network_socket`] and takes the guest's frames. Without one, and after its
    /// end, the guest reaches nothing. Forwarded ports are that process's own.
    Stream,
}

/// What a QEMU that a guest took over cannot do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fence {
    /// It can do whatever its user can.
    #[default]
    None,
    /// It starts no program, changes no user and lifts no limit (seccomp(2)); a machine that runs needs none of that.
    Seccomp,
}
