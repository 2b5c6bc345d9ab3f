//! Ports of the host that lead to services of the guest.

use std::net::TcpListener;

/// A socket that listens, and the guest's port that its connections go to.
#[derive(Debug)]
pub struct Forward {
    /// Whoever connects to it reaches the guest.
    pub listener: TcpListener,
    /// The port in the guest.
    pub guest: u16,
}
