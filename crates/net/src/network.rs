//! A sandbox's network as its owner sees it.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use camino::Utf8PathBuf;

use crate::dial::Resolve;
use crate::forward::{self, Forward};
use crate::journal::{Journal, Log};
use crate::link::Link;
use crate::policy::Policy;
use crate::shared::Shared;

/// What a network is made of.
pub struct Settings {
    /// The socket on which QEMU listens (`-netdev stream,server=on`). It need not be there yet, and is connected to again
    /// after its end.
    pub socket: Utf8PathBuf,
    /// What may be reached.
    pub policy: Policy,
    /// Ports of the host that lead to the guest. One that was [closed](crate::closed) refuses connections until
    /// [`Network::open_ports`] opens it.
    pub forwards: Vec<Forward>,
    /// Where denials are written; only in memory otherwise.
    pub journal: Option<Utf8PathBuf>,
    /// Resolves names; [`crate::by_the_host`] but for tests.
    pub resolve: Resolve,
}

/// A thread that is the other end of a guest's network card. Dropping it ends the thread with all connections.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    /// The guest's ports, and those of the host that lead there.
    ports: Vec<(u16, TcpListener)>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// Starts the thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let Settings { socket, policy, forwards, journal, resolve } = settings;
        let shared = Arc::new(Shared::new(policy, Journal::open(journal))?);
        let port = |forward: &Forward| Ok((forward.guest, forward.listener.try_clone()?));
        let ports = forwards.iter().map(port).collect::<io::Result<_>>()?;
        let link = Link::new(Arc::clone(&shared), socket, forwards, resolve)?;
        let thread = thread::Builder::new().name("network".into()).spawn(move || link.run())?;
        Ok(Self { shared, ports, thread: Some(thread) })
    }

    /// What may be reached now.
    pub fn policy(&self) -> Policy {
        Policy::clone(&self.shared.policy())
    }

    /// Changes what may be reached. Connections that are no longer allowed end.
    pub fn set_policy(&self, policy: Policy) {
        self.shared.set_policy(policy);
    }

    /// Lets connections in to these ports of the guest, and to no others: their ports of the host stay taken and refuse.
    pub fn open_ports(&self, of_guest: &[u16]) -> io::Result<()> {
        for (guest, listener) in &self.ports {
            let wanted = of_guest.contains(guest);
            if wanted == forward::is_open(listener) {
                continue;
            }
            let change = if wanted { forward::open } else { forward::close };
            change(listener)?;
            self.shared.wake.wake();
        }
        Ok(())
    }

    /// What was refused and learned.
    pub fn log(&self) -> Log {
        self.shared.journal().log()
    }

    /// Writes the log of what was refused now; it is written once a second otherwise.
    pub fn flush(&self) {
        self.shared.journal().save(std::time::Instant::now(), true);
    }

    /// Whether QEMU's end is connected.
    pub fn is_attached(&self) -> bool {
        self.shared.is_attached()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
