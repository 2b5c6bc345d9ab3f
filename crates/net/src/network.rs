//! A sandbox's network, as seen by its owner.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use camino::Utf8PathBuf;

use crate::authority::Authority;
use crate::dial::Outbound;
use crate::forward::{self, Forward};
use crate::inspector::Inspector;
use crate::journal::{Journal, Log};
use crate::link::Link;
use crate::model::{Access, Model, Usage};
use crate::policy::Policy;
use crate::secret::{Secret, Secrets};
use crate::shared::Shared;
use crate::upstream::Trust;
use crate::witness::{SharedWitness, Witness};

/// The settings of a network.
pub struct Settings {
    /// The socket on which QEMU listens (`-netdev stream,server=on`). It need not exist yet, and the network reconnects
    /// to it.
    pub socket: Utf8PathBuf,
    /// What may be reached.
    pub policy: Policy,
    /// Ports of the host that lead to the guest. A [closed](crate::closed) one refuses connections until
    /// [`Network::open_ports`] opens it.
    pub forwards: Vec<Forward>,
    /// The file for denials; without it they are only kept in memory.
    pub journal: Option<Utf8PathBuf>,
    /// The folder for the key of the authority that inspects TLS, for this sandbox only. Without it no TLS is inspected.
    pub authority: Option<Utf8PathBuf>,
    /// The authorities that are trusted in inspected TLS.
    pub trust: Trust,
    /// The model whose provider is served to the guest if the policy allows the group.
    pub model: Option<Model>,
    /// The user's secrets, for requests to hosts that the policy allows.
    pub secrets: Vec<Secret>,
    /// Keeps the record; [`crate::NoRecord`] if there is none.
    pub witness: Arc<dyn Witness>,
    /// How connections are made; [`Outbound::of_this_process`] except in tests.
    pub outbound: Outbound,
}

/// A thread at the other end of a guest's network card. Dropping it stops the thread and closes all connections.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    /// The guest's ports, and the host's sockets that lead to them.
    ports: Vec<(u16, TcpListener)>,
    thread: Option<JoinHandle<()>>,
}

/// A policy that can take effect at once.
#[must_use]
pub struct Prepared {
    policy: Policy,
    authority: Option<Arc<Authority>>,
}

impl Prepared {
    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl Network {
    /// Starts the thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let Settings {
            socket,
            policy,
            forwards,
            journal,
            authority,
            trust,
            model,
            secrets,
            witness,
            outbound,
        } = settings;
        let witness = SharedWitness(witness);
        let model = model.map(|model| Access::new(model, trust.clone()));
        let secrets = Arc::new(Secrets::new(secrets));
        let inspector = Inspector::new(authority, trust, Arc::clone(&secrets));
        inspector.renew(inspector.prepare(&policy)?);
        let journal = Journal::open(journal, witness.clone());
        let shared = Arc::new(Shared::new(policy, journal, witness, inspector, model, secrets)?);
        let port = |forward: &Forward| Ok((forward.guest, forward.listener.try_clone()?));
        let ports = forwards.iter().map(port).collect::<io::Result<_>>()?;
        let link = Link::new(Arc::clone(&shared), socket, forwards, outbound)?;
        let thread = thread::Builder::new().name("network".into()).spawn(move || link.run())?;
        Ok(Self { shared, ports, thread: Some(thread) })
    }

    /// The current policy.
    pub fn policy(&self) -> Policy {
        Policy::clone(&self.shared.policy())
    }

    /// Prepares what another policy needs; nothing changes until [`Network::commit`]. Fails if the authority cannot be
    /// created for the TLS that the policy opens.
    pub fn prepare(&self, policy: Policy) -> io::Result<Prepared> {
        let authority = self.shared.inspector.prepare(&policy)?;
        Ok(Prepared { policy, authority })
    }

    /// Changes the policy. Connections that it no longer allows, or allows differently, are closed.
    pub fn commit(&self, prepared: Prepared) {
        self.shared.inspector.renew(prepared.authority);
        self.shared.set_policy(prepared.policy);
    }

    /// The authority's certificate as PEM, for the guest to trust; nothing while no TLS is inspected.
    pub fn authority(&self) -> Option<String> {
        self.shared.inspector.authority().map(|authority| authority.pem().to_owned())
    }

    /// The usage of the model; nothing if none is served.
    pub fn usage(&self) -> Option<Usage> {
        self.shared.model.as_ref().map(|model| model.usage())
    }

    /// Opens these ports of the guest, and closes all others: their ports of the host stay reserved and refuse
    /// connections.
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

    /// What was refused and learned, with a number; nothing if nothing was refused since the log with number `seen`.
    pub fn log_after(&self, seen: Option<u64>) -> Option<(u64, Log)> {
        self.shared.journal().log_after(seen)
    }

    /// Writes the log now instead of within a second.
    pub fn flush(&self) {
        self.shared.journal().save(std::time::Instant::now(), true);
    }

    /// Whether QEMU is connected.
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
