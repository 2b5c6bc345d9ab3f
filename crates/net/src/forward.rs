//! Ports of the host that lead to services of the guest.

use std::net::TcpListener;

use crate::page_policy::Site;

/// A socket that listens, and the guest's port that its connections go to.
#[derive(Debug)]
pub struct Forward {
    /// Whoever connects to it reaches the guest.
    pub listener: TcpListener,
    /// The port in the guest.
    pub guest: u16,
    /// The sandbox's name where the port is one of pages: then nothing but HTTP goes there, and what a browser asks is looked at.
    pub pages: Option<String>,
}

impl Forward {
    /// Where its pages are, if it has some.
    pub(crate) fn site(&self) -> Option<Site> {
        let port = self.listener.local_addr().ok()?.port();
        Some(Site { sandbox: self.pages.clone()?, port })
    }
}
