//! What a machine's network card is connected to.

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
